-- Describes the database: its id, its clock, its migrations, and the oldest open
-- transaction. Readers of events stop before that transaction, whoever runs it
-- (loom_read_events). A node's key gets no facts about other transactions.
create or replace function public.loom_describe_database()
  returns json
  language plpgsql
  security definer
  set search_path = ''
as $$
declare
  v_is_node boolean := (public.loom_acting_key()).id is not null;
begin
  return json_build_object(
    'id', (select id from public.loom_database),
    'now', clock_timestamp(),
    'server_version', current_setting('server_version'),
    'held_back_ms', case when not v_is_node then (
      select floor(1000 * extract(epoch from clock_timestamp() - at)) from public.loom_event_batches
       where xid >= pg_snapshot_xmin(pg_current_snapshot()) order by xid, id limit 1) end,
    'oldest_writer', case when not v_is_node then (
      select json_build_object('pid', pid, 'user', usename, 'application', application_name)
        from pg_catalog.pg_stat_activity
       where backend_xid is not null and pid <> pg_backend_pid()
       order by age(backend_xid) desc limit 1) end,
    'migrations', (select coalesce(json_agg(name order by name), '[]') from public.loom_migrations));
end $$;

-- Removes what has been finished for longer than p_keep_days: at most p_limit runs
-- (with their jobs and logs), jobs without a run, slots of schedules, and events. A
-- removed schedule goes with its last slot. Deliveries of hooks, keys and join tokens that ended that long
-- ago are removed too, and code that was not used for as long and that nothing needs. Call it again while the answer's 'more' is true.
--
-- Runs of a workflow that says how long they are kept follow that (retention.sql). p_retention: see loom_set_retention.
create or replace function public.loom_prune(p_keep_days integer default 30, p_limit integer default 500, p_retention json default null)
  returns json
  language plpgsql
  security definer
  set search_path = ''
  -- As in loom_advance_runs; and what refers to a removed row is found by its key too.
  set enable_seqscan = off
  set enable_bitmapscan = off
as $$
declare
  v_before timestamptz := clock_timestamp() - make_interval(days => p_keep_days);
  v_runs   integer;
  v_jobs   integer;
  v_slots  integer;
  v_events integer;
  v_batches integer;
  v_old    uuid[];
  v_left   uuid[];
  v_files  uuid[];
  v_ended  bigint[];
  v_items  bigint[];
  v_more   boolean;
begin
  -- Postgres checks a negative limit only when its plan reaches it. With 0, 'more'
  -- would stay true for ever.
  if p_keep_days is null or p_keep_days < 0 or p_limit is null or p_limit not between 1 and 10000 then
    raise exception 'keep 0 or more days, and remove 1 to 10000 at once'
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'the defaults are 30 and 500';
  end if;

  if p_retention is not null then
    perform public.loom_set_retention(p_retention);
  end if;
  select runs, has_more into v_left, v_more from public.loom_lock_old_runs(p_keep_days, p_limit);
  v_old := public.loom_runs_within(v_left, 10 * p_limit);
  v_ended := array(select id from public.loom_jobs where run_id = any(v_old) and item_of is null);
  v_items := array(select id from public.loom_jobs where item_of = any(v_ended) limit 10 * p_limit);
  if cardinality(v_items) = 10 * p_limit then
    -- The runs go when a call finds fewer items of theirs.
    v_old := '{}';
    v_ended := '{}';
  end if;
  if cardinality(v_old) < cardinality(v_left) then
    v_more := true;
    -- The next call looks at those that are left again.
    update public.loom_retention as policy
       set pruned_to = least(policy.pruned_to, rest.at)
      from (select workflow_id, min(finished_at) as at from public.loom_runs
             where id = any(v_left) and id <> all(v_old) group by workflow_id) as rest
     where policy.workflow_id = rest.workflow_id;
  end if;
  perform public.loom_remove_jobs(v_items || v_ended);
  -- Before the runs: whoever repeats one of them waits for its row, and has its files by then or finds neither.
  with gone as (delete from public.loom_run_files where run_id = any(v_old) returning file)
  select array(select distinct file from gone) into v_files;
  delete from public.loom_runs where id = any(v_old);
  get diagnostics v_runs = row_count;

  v_jobs := public.loom_prune_jobs(v_before, p_limit);
  select v_files || files, v_more or has_more into v_files, v_more from public.loom_prune_run_files(p_limit);
  perform public.loom_release_files(v_files);
  perform public.loom_prune_specs(v_before, p_limit);

  with old as materialized (
    select id from public.loom_schedule_slots
     where slot_at < v_before and not queued
     order by slot_at limit p_limit
       for update skip locked
  )
  delete from public.loom_schedule_slots as slot where slot.id = any(array(select id from old));
  get diagnostics v_slots = row_count;
  delete from public.loom_schedules as schedule
   where removed_at < v_before
     and not exists (select from public.loom_schedule_slots where schedule_id = schedule.id);

  with old as materialized (
    select id from public.loom_hook_deliveries
     where created_at < v_before and next_at is null
     order by created_at limit p_limit
       for update skip locked
  )
  delete from public.loom_hook_deliveries as delivery where delivery.id = any(array(select id from old));

  perform public.loom_drop_signals(p_limit);

  -- A locked row is being revoked or used to join.
  with old as materialized (
    select id from public.loom_node_keys
     where least(revoked_at, expires_at) < v_before
     limit p_limit
       for update skip locked
  )
  delete from public.loom_node_keys as key using old where key.id = old.id;
  with old as materialized (
    select node from public.loom_node_events where minute < v_before limit p_limit for update skip locked
  )
  delete from public.loom_node_events as counted using old where counted.node = old.node;
  with old as materialized (
    select id from public.loom_join_tokens
     where least(revoked_at, expires_at) < v_before
     limit p_limit
       for update skip locked
  )
  delete from public.loom_join_tokens as token using old where token.id = old.id;

  -- What a run in the history needs can be repeated. A job of its own says what it needs.
  with needed as materialized (
    select distinct split_part(clause, '@', 2) as digest
      from (select job.spec from public.loom_ready as ready join public.loom_jobs as job on job.id = ready.job_id
             where ready.run_id is null
            union
            select job.spec from public.loom_node_sessions as session, unnest(session.held) as held(id)
              join public.loom_jobs as job on job.id = held.id) as used
      join public.loom_job_specs as spec on spec.id = used.spec
     cross join unnest(spec.requires) as clause
     where clause like 'workflow:%@%'
  ),
  old as materialized (
    select digest from public.loom_code as code
     where code.used_at < least(v_before, clock_timestamp() - interval '1 day')
       and not exists (select from public.loom_runs where version = code.digest)
       and not exists (select from needed where needed.digest = code.digest)
     limit p_limit
       for update skip locked
  )
  delete from public.loom_code as code using old where code.digest = old.digest;

  -- Events are read in the order they were written; the first that is young enough ends
  -- the scan.
  with old as materialized (
    select xid, id from (select xid, id, at from public.loom_event_batches order by xid, id limit p_limit) as first
     where at < v_before
  ),
  gone as (
    delete from public.loom_event_batches as event using old
     where event.xid = any(array[old.xid]) and event.id = any(array[old.id])
    returning greatest(cardinality(event.jobs), cardinality(event.runs), 1) as events
  )
  select coalesce(sum(events), 0), count(*) into v_events, v_batches from gone;

  return json_build_object('runs', v_runs, 'jobs', v_jobs, 'slots', v_slots, 'events', v_events,
                           'more', v_more or greatest(v_jobs, v_slots, v_batches) >= p_limit);
end $$;

-- Removes jobs without a run that ended before p_before, at most p_limit. Returns how many.
--
-- No index has the time at which a job ended, because settling would change it. Jobs are numbered as they are added, so
-- those that ended long ago have low numbers. Between them are steps of runs that are kept, and jobs that wait for
-- long. A call reads ten times p_limit rows, and the next one goes on from there, until it begins anew.
create or replace function public.loom_prune_jobs(p_before timestamptz, p_limit integer)
  returns integer
  language plpgsql
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
as $$
declare
  v_from bigint;
  v_old  bigint[];
  v_last bigint;
begin
  select pruned_to into v_from from public.loom_database for no key update;
  loop
    with seen as materialized (
      select id, run_id is null and finished_at < p_before as is_old from public.loom_jobs
       where id > v_from order by id limit 10 * p_limit
    ),
    old as materialized (
      select id from seen where is_old order by id limit p_limit
    )
    select array(select id from old), case when (select count(*) from old) = p_limit then (select max(id) from old)
                                           when count(*) = 10 * p_limit then max(id)
                                           else 0 end
      into v_old, v_last
      from seen;
    exit when v_old <> '{}' or v_last = 0;
    v_from := v_last;
  end loop;
  v_old := array(select id from public.loom_jobs where id = any(v_old) order by id for update skip locked);
  perform public.loom_remove_jobs(v_old);
  update public.loom_database set pruned_to = v_last where is_one;
  return cardinality(v_old);
end $$;

-- Removes specifications that no job has had for as long as jobs are kept. One that a job still has counts as used
-- again, so the table of jobs is read once in that time and not at every call. See loom_intern_specs.
create or replace function public.loom_prune_specs(p_before timestamptz, p_limit integer)
  returns void
  language plpgsql
  set search_path = ''
as $$
declare
  v_unused integer[] := array(
    select id from public.loom_job_specs
     where used_at < least(p_before, clock_timestamp() - interval '2 days')
     limit p_limit for update skip locked);
  v_used   integer[];
begin
  if v_unused = '{}' then
    return;
  end if;
  v_used := array(select distinct spec from public.loom_jobs where spec = any(v_unused));
  update public.loom_job_specs set used_at = clock_timestamp() where id = any(v_used);
  delete from public.loom_job_specs where id = any(v_unused) and id <> all(v_used);
end $$;

-- Removes jobs and everything that belongs to them. The caller has locked them, or their runs.
create or replace function public.loom_remove_jobs(p_jobs bigint[])
  returns void
  language sql
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
as $$
  delete from public.loom_job_logs where job_id = any(p_jobs);
  delete from public.loom_job_details where job_id = any(p_jobs);
  delete from public.loom_checkpoints where job_id = any(p_jobs);
  delete from public.loom_maps where job_id = any(p_jobs);
  delete from public.loom_approvals where job_id = any(p_jobs);
  delete from public.loom_jobs where id = any(p_jobs);
$$;
