-- Which files go: those that no run has, and of ended runs those that no result and no error names (docs/files.md).
--
-- The sweep looks only at files of which 'may_be_unused' says so: it is set when a person has sent a file, and when a run loses one
-- (loom_release_files). So its cost follows what goes, and not what stays.

-- Takes files of a store that nobody needs any more, to be removed from it: those of no run that were not used for p_grace_s
-- seconds, and uploads whose job is no longer held. The answer lists those of earlier calls again until loom_forget_files, in any
-- order, so that some that cannot be removed do not hide the others.
--
-- Interleavings. A run gets a file at this moment (loom_begin_file, loom_finish_file, loom_use_files): each of these locks the
-- file's row first. If it comes first, the row is skipped here or, once it has committed, the statement after the lock sees the
-- run's row. If it comes second, it waits, and finds the file no longer 'stored'. A run loses a file at this moment: if the run's row
-- is still seen here, loom_release_files comes after this, and sets the mark again that is taken away here.
create or replace function public.loom_take_unused_files(p_store text, p_grace_s integer default 86400, p_limit integer default 100)
  returns json
  language plpgsql
  security definer
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
as $$
declare
  v_before timestamptz := clock_timestamp() - make_interval(secs => p_grace_s);
  v_begun  uuid[];
  v_looked uuid[];
begin
  if p_limit is null or p_limit not between 1 and 1000 or p_grace_s is null or p_grace_s < 0 then
    raise exception 'take 1 to 1000 files after 0 or more seconds'
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'the defaults are 100 and a day';
  end if;
  v_begun := array(
    select id from public.loom_files as file
     where store = p_store and state = 'uploading'
       and (used_at < v_before
            or job_id is not null
               and not exists (select from public.loom_jobs as job
                                where job.id = file.job_id and job.state = 'running' and job.fence = file.fence))
     order by id limit p_limit
       for update skip locked);
  v_looked := array(
    select id from public.loom_files
     where store = p_store and state = 'stored' and may_be_unused and used_at < v_before
     order by used_at limit 10 * p_limit
       for update skip locked);
  -- The locks are held, so no run gets one of them from here on.
  update public.loom_files as file
     set state = 'removing'
   where id = any(v_begun || v_looked)
     and not exists (select from public.loom_run_files where loom_run_files.file = file.id);
  update public.loom_files set may_be_unused = false where id = any(v_looked) and state = 'stored';
  return json_build_object('files', (
    select coalesce(json_agg(id), '[]') from (
      select id from public.loom_files where store = p_store and state = 'removing' order by random() limit p_limit) as going));
end $$;

-- Forgets files whose objects are gone.
create or replace function public.loom_forget_files(p_ids uuid[])
  returns json
  language plpgsql
  security definer
  set search_path = ''
as $$
declare
  v_count integer;
begin
  delete from public.loom_files where id = any(p_ids) and state = 'removing';
  get diagnostics v_count = row_count;
  return json_build_object('forgotten', v_count);
end $$;

-- Lets the sweep look at files that a run has lost in this transaction. They are locked in one order, as everywhere.
create or replace function public.loom_release_files(p_files uuid[])
  returns void
  language plpgsql
  set search_path = ''
as $$
begin
  perform from public.loom_files where id = any(p_files) order by id for no key update;
  update public.loom_files set may_be_unused = true where id = any(p_files) and not may_be_unused;
end $$;

-- Of runs that are to go those that may go in one call, in their order: their files are together at most p_limit, or there is only
-- one of them.
create or replace function public.loom_runs_within(p_runs uuid[], p_limit integer)
  returns uuid[]
  language plpgsql
  stable
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
as $$
declare
  v_run   uuid;
  v_files integer := 0;
  v_fit   uuid[] := '{}';
begin
  foreach v_run in array p_runs loop
    v_files := v_files + (
      select count(*) from (select from public.loom_run_files where run_id = v_run limit p_limit - v_files + 1) as had);
    exit when v_files > p_limit and v_fit <> '{}';
    v_fit := v_fit || v_run;
    exit when v_files > p_limit;
  end loop;
  return v_fit;
end $$;

-- Takes files from runs that ended a day ago, where neither the result nor the error of their step names them: another attempt
-- followed, or the outcome never came. Returns them for loom_release_files, and whether there may be more.
--
-- A call looks at p_limit runs that have files of this kind, wherever it begins, and at p_limit files. Those of a run that goes on are
-- not read, however many they are.
create or replace function public.loom_prune_run_files(p_limit integer, out files uuid[], out has_more boolean)
  language plpgsql
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
as $$
declare
  v_before timestamptz := clock_timestamp() - interval '1 day';
  -- Not from the first one: runs that go on for months would hide the others.
  v_start  uuid := gen_random_uuid();
  v_at     uuid := v_start;
  v_run    uuid;
  v_again  boolean := false;
  v_ended  uuid[] := '{}';
begin
  for v_count in 1 .. p_limit loop
    v_run := (select run_id from public.loom_run_files where not is_kept and run_id > v_at order by run_id limit 1);
    if v_run is null and not v_again then
      v_again := true;
      v_at := '00000000-0000-0000-0000-000000000000';
      continue;
    end if;
    exit when v_run is null or v_again and v_run > v_start;
    v_at := v_run;
    if exists (select from public.loom_runs where id = v_run and finished_at < v_before) then
      v_ended := v_ended || v_run;
    end if;
  end loop;
  with looked as materialized (
    select had.run_id, had.file, had.name, strpos(concat(job.result, job.error), file.digest) > 0 as is_kept
      from (select * from public.loom_run_files
             where run_id = any(v_ended) and not is_kept
             limit p_limit for update skip locked) as had
      join public.loom_files as file on file.id = had.file
      left join public.loom_jobs as job on job.id = had.job_id
  ),
  kept as (
    update public.loom_run_files as had set is_kept = true
      from looked
     where looked.is_kept and (had.run_id, had.file, had.name) = (looked.run_id, looked.file, looked.name)
  ),
  gone as (
    delete from public.loom_run_files as had
     using looked
     where not looked.is_kept and (had.run_id, had.file, had.name) = (looked.run_id, looked.file, looked.name)
    returning had.file
  )
  select (select count(*) from looked) = p_limit, array(select distinct file from gone) into has_more, files;
end $$;
