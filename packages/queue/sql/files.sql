-- Files that steps and people store beside the queue: which there are, in which store, and which runs have them. The
-- bytes are in the store of a hub, which takes and gives them (docs/files.md).
--
-- A file's row goes from 'uploading' to 'stored' to 'removing'. Its id names its object in the store and is never used
-- again, so removing one object never touches another one with the same content. A row in loom_run_files makes a file a
-- run's. Nothing else keeps a file.
--
-- Lock order: the files of a run, then the content (advisory locks), then files by id.

-- Begins an upload of a file for the run of a job that the node holds. 'id' names the object. If the run has the same content
-- already, nothing has to be sent, and 'id' is null.
--
-- A repeated call with the same job, fence, name and content answers with the same upload. So an attempt has at most
-- loom_limit('uploads_per_attempt') of them, however often it calls.
create or replace function public.loom_begin_file(
  p_node   text,
  p_job    bigint,
  p_fence  integer,
  p_store  text,
  p_name   text,
  p_size   bigint,
  p_digest text
)
  returns json
  language plpgsql
  security definer
  set search_path = ''
as $$
declare
  v_run  uuid := public.loom_run_of_claim(public.loom_acting_node(p_node), p_job, p_fence);
  v_file uuid;
begin
  perform public.loom_check_file(p_store, p_name, p_size, p_digest);
  perform public.loom_lock_files_of(v_run);
  perform public.loom_check_file_count(v_run);

  select file.id into v_file
    from public.loom_run_files as had join public.loom_files as file on file.id = had.file
   where had.run_id = v_run and file.digest = p_digest and file.store = p_store and file.state = 'stored'
   limit 1
     for share of file;
  if found then
    perform public.loom_add_run_file(v_run, v_file, p_name, p_job);
    return json_build_object('id', null);
  end if;

  -- Copies of a call wait for each other here.
  perform pg_advisory_xact_lock(hashtextextended(format('loom uploads %s %s', p_job, p_fence), 0));
  select id into v_file from public.loom_files
   where job_id = p_job and fence = p_fence and state = 'uploading' and store = p_store and name = p_name
     and digest = p_digest and size = p_size;
  if found then
    return json_build_object('id', v_file);
  end if;
  if (select count(*) from public.loom_files where job_id = p_job and fence = p_fence and state = 'uploading')
     >= public.loom_limit('uploads_per_attempt') then
    raise exception 'this attempt has % uploads that are not finished, which is the limit', public.loom_limit('uploads_per_attempt')
      using errcode = 'PT409', detail = 'TOO_MANY_UPLOADS', hint = 'wait for the files before the next one';
  end if;
  insert into public.loom_files (store, digest, size, name, node, job_id, fence)
  values (p_store, p_digest, p_size, p_name, p_node, p_job, p_fence)
  returning id into v_file;
  return json_build_object('id', v_file);
end $$;

-- Begins an upload by a person. The file becomes a run's when a run is started whose input names it (loom_use_files), and
-- otherwise goes after a day.
create or replace function public.loom_begin_upload(p_store text, p_name text, p_size bigint, p_digest text)
  returns json
  language plpgsql
  security definer
  set search_path = ''
as $$
declare
  v_file uuid;
begin
  perform public.loom_check_file(p_store, p_name, p_size, p_digest);
  insert into public.loom_files (store, digest, size, name) values (p_store, p_digest, p_size, p_name) returning id into v_file;
  return json_build_object('id', v_file);
end $$;

-- Records that the object of an upload is complete and has the promised content. Only a hub calls it, because nobody else
-- has read the bytes: a node that could call it would put its content in the place of another file's.
--
-- The job must still be held under the fence that began the upload. A repeated call gets the first one's answer.
--
-- Where the store has the same content already, the file of before is used, and the new object is removed.
--
-- Interleavings. Two uploads of one content end together: the lock of the content lets one after the other, and the
-- second one finds the first. Two files of one run end together, where it may have one more: the lock of its files lets one
-- after the other, and the second one counts the first. With loom_take_unused_files: it skips the file that is locked here, or this waits and then does not
-- find it 'stored'; then the new object stays. So no run gets a file that is about to go.
create or replace function public.loom_finish_file(p_id uuid)
  returns json
  language plpgsql
  security definer
  set search_path = ''
as $$
declare
  v_file public.loom_files;
  v_run  uuid;
  v_same uuid;
begin
  select * into v_file from public.loom_files where id = p_id;
  if v_file.job_id is not null then
    v_run := public.loom_run_of_claim(v_file.node, v_file.job_id, v_file.fence);
    perform public.loom_lock_files_of(v_run);
  end if;
  perform pg_advisory_xact_lock(hashtextextended('loom file ' || v_file.digest, 0));
  select * into v_file from public.loom_files where id = p_id for no key update;
  if not found or v_file.state = 'removing' and v_file.same_as is null then
    raise exception 'there is no such upload'
      using errcode = 'PT404', detail = 'UPLOAD_NOT_FOUND', hint = 'begin it again';
  end if;
  v_same := v_file.same_as;
  if v_file.state = 'uploading' then
    if v_run is not null then
      -- Others may have been finished since this one was begun.
      perform public.loom_check_file_count(v_run);
    end if;
    select id into v_same from public.loom_files
     where store = v_file.store and digest = v_file.digest and state = 'stored'
       for no key update;
    update public.loom_files
       set state = case when v_same is null then 'stored' else 'removing' end, same_as = v_same, used_at = clock_timestamp(),
           may_be_unused = v_run is null
     where id = p_id;
  end if;
  if v_same is not null then
    -- A person's upload has nothing else that keeps it for a while.
    update public.loom_files set used_at = clock_timestamp() where id = v_same;
  end if;
  if v_run is not null then
    perform public.loom_add_run_file(v_run, coalesce(v_same, p_id), v_file.name, v_file.job_id);
  end if;
  return json_build_object('name', v_file.name, 'size', v_file.size, 'digest', v_file.digest);
end $$;

-- Gives an upload up. Its object goes with the next sweep.
create or replace function public.loom_drop_upload(p_id uuid)
  returns json
  language plpgsql
  security definer
  set search_path = ''
as $$
begin
  update public.loom_files set state = 'removing' where id = p_id and state = 'uploading';
  return json_build_object('dropped', found);
end $$;

-- Finds a file for a node that holds a job of a run that has it. For every other file the answer is null, as for a missing one.
create or replace function public.loom_open_file(p_node text, p_job bigint, p_fence integer, p_digest text)
  returns json
  language plpgsql
  security definer
  set search_path = ''
as $$
declare
  v_run uuid := public.loom_run_of_claim(public.loom_acting_node(p_node), p_job, p_fence);
begin
  return public.loom_find_run_file(v_run, p_digest);
end $$;

-- Finds a file of a run by its content; null when the run has none with it.
create or replace function public.loom_find_run_file(p_run uuid, p_digest text)
  returns json
  language sql
  stable
  security definer
  set search_path = ''
as $$
  select json_build_object('id', file.id, 'store', file.store, 'name', had.name, 'size', file.size, 'digest', file.digest)
    from public.loom_run_files as had join public.loom_files as file on file.id = had.file
   where had.run_id = p_run and file.digest = p_digest and file.state = 'stored'
   limit 1;
$$;

-- The files of a run in the order in which they came, at most loom_limit('files_per_run'); null when there is no such run.
create or replace function public.loom_list_files(p_run uuid)
  returns json
  language sql
  stable
  security definer
  set search_path = ''
as $$
  select case when exists (select from public.loom_runs where id = p_run) then (
    select json_build_object('files', coalesce(json_agg(json_build_object(
             'name', had.name, 'size', file.size, 'digest', file.digest, 'store', file.store,
             'job_id', had.job_id, 'step_id', job.step_id, 'created_at', had.created_at) order by had.created_at, had.name), '[]'))
      from (select * from public.loom_run_files where run_id = p_run limit public.loom_limit('files_per_run')) as had
      join public.loom_files as file on file.id = had.file
      left join public.loom_jobs as job on job.id = had.job_id) end;
$$;

-- Gives a run a file that a job of it has stored. One that two jobs have stored stays as long as the run, because the result
-- of either may name it. The caller has locked the file.
create or replace function public.loom_add_run_file(p_run uuid, p_file uuid, p_name text, p_job bigint)
  returns void
  language sql
  set search_path = ''
as $$
  insert into public.loom_run_files as had (run_id, file, name, job_id) values (p_run, p_file, p_name, p_job)
  on conflict (run_id, file, name) do update
     set is_kept = true
   where had.job_id is distinct from excluded.job_id and not had.is_kept;
$$;

-- The run of a job that the node holds under this fence, whose row stays until the end of the transaction.
create or replace function public.loom_run_of_claim(p_node text, p_job bigint, p_fence integer)
  returns uuid
  language plpgsql
  set search_path = ''
as $$
declare
  v_job record;
begin
  select run_id, ran_on, fence, settled_fence, state into v_job from public.loom_jobs where id = p_job for key share;
  if not found or v_job.ran_on is distinct from p_node or v_job.state <> 'running'
     or v_job.fence is distinct from p_fence or v_job.settled_fence >= v_job.fence then
    raise exception 'the node does not hold this job'
      using errcode = 'PT409', detail = 'JOB_NOT_HELD', hint = 'end the step: another attempt has its own files';
  end if;
  if v_job.run_id is null then
    raise exception 'a job without a run has no files'
      using errcode = 'PT409', detail = 'FILES_NEED_A_RUN', hint = 'start the step in a run: loom run';
  end if;
  return v_job.run_id;
end $$;

-- Lets nobody else give the run a file until the end of the transaction.
create or replace function public.loom_lock_files_of(p_run uuid)
  returns void
  language plpgsql
  set search_path = ''
as $$
begin
  perform pg_advisory_xact_lock(hashtextextended(format('loom files of run %s', p_run), 0));
end $$;

-- Refuses another file for a run that has as many as a run may have. The caller holds the lock of its files.
create or replace function public.loom_check_file_count(p_run uuid)
  returns void
  language plpgsql
  set search_path = ''
as $$
begin
  if (select count(*) from (select from public.loom_run_files where run_id = p_run limit public.loom_limit('files_per_run')) as had)
     >= public.loom_limit('files_per_run') then
    raise exception 'the run has % files, which is the limit', public.loom_limit('files_per_run')
      using errcode = 'PT409', detail = 'TOO_MANY_FILES', hint = 'put many small files into one archive';
  end if;
end $$;

-- Refuses what is no file. The rule for names is that of checkFileName in @loom/workflow.
create or replace function public.loom_check_file(p_store text, p_name text, p_size bigint, p_digest text)
  returns void
  language plpgsql
  set search_path = ''
as $$
begin
  if p_name is null or octet_length(p_name) not between 1 and public.loom_limit('file_name_bytes')
     or p_name in ('.', '..') or p_name ~ '[/\\[:cntrl:]]' then
    raise exception 'a file''s name has 1 to % bytes, no slash and no control character', public.loom_limit('file_name_bytes')
      using errcode = 'PT400', detail = 'FILE_NAME_INVALID', hint = 'use a plain name, such as report.pdf';
  end if;
  if p_size is null or p_size < 0 or p_digest is null or p_digest !~ '^[0-9a-f]{64}$'
     or p_store is null or length(p_store) not between 1 and 300 then
    raise exception 'a file has a size, a SHA-256 in hex and a store'
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'send all three';
  end if;
  if p_size > public.loom_limit('file_bytes') then
    raise exception 'a file holds at most % bytes', public.loom_limit('file_bytes')
      using errcode = 'PT413', detail = 'FILE_TOO_LARGE', hint = 'divide it into several files';
  end if;
end $$;

-- Gives a run the files that its input names by their SHA-256. A file is locked before it is given, so a sweep
-- either skips it or has taken it before.
create or replace function public.loom_use_files(p_run uuid, p_input text)
  returns void
  language plpgsql
  set search_path = ''
as $$
begin
  if strpos(p_input, '"sha256"') = 0 then
    return;
  end if;
  with named as materialized (
    select distinct match[1] as digest
      from regexp_matches(p_input, '"sha256"\s*:\s*"([0-9a-f]{64})"', 'g') as match
  ),
  file as materialized (
    select id, name from public.loom_files
     where state = 'stored' and digest in (select digest from named)
     order by id
       for share
  )
  insert into public.loom_run_files (run_id, file, name, is_kept) select p_run, id, name, true from file
  on conflict do nothing;
end $$;

-- Gives a run the files of the run that it repeats. They are locked as in loom_use_files.
create or replace function public.loom_take_over_files(p_from uuid, p_to uuid)
  returns void
  language plpgsql
  set search_path = ''
as $$
begin
  perform from public.loom_files
    where state = 'stored' and id in (select file from public.loom_run_files where run_id = p_from)
    order by id
      for share;
  insert into public.loom_run_files (run_id, file, name, job_id, is_kept)
  select p_to, had.file, had.name, had.job_id, true
    from public.loom_run_files as had join public.loom_files as file on file.id = had.file
   where had.run_id = p_from and file.state = 'stored';
end $$;
