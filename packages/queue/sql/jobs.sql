-- Returns a job's row as the API shows it. This is the only place that names its
-- columns. If p_omit is true, the result and error are left out and their size is
-- returned.
create or replace function public.loom_describe_job(p_job public.loom_job_queue, p_omit boolean default false)
  returns json
  language plpgsql
  stable
  set search_path = ''
as $$
begin
  return json_build_object(
    'id', p_job.id, 'run_id', p_job.run_id, 'workflow_id', p_job.workflow_id, 'step_id', p_job.step_id,
    'key', p_job.key, 'payload', p_job.payload, 'after', p_job.after, 'requires', p_job.requires,
    'host_pinned', p_job.host_pinned, 'pinned_to', case when p_job.host_pinned then p_job.target_host end,
    'target_host', p_job.target_host, 'ran_on', p_job.ran_on,
    'declined_by', p_job.declined_by, 'crashed_on', p_job.crashed_on, 'priority', p_job.priority, 'state', p_job.state,
    'waiting_reason', p_job.waiting_reason, 'placement', p_job.placement, 'runs_after', p_job.runs_after,
    'optional', p_job.is_optional, 'skip_reason', p_job.skip_reason,
    'attempt', p_job.attempt, 'max_attempts', p_job.max_attempts, 'crash_restarts', p_job.crash_restarts,
    'fence', p_job.fence, 'cancel_requested_at', p_job.cancel_requested_at,
    'concurrency_key', p_job.concurrency_key, 'concurrency_limit', p_job.concurrency_limit,
    'result', case when not p_omit then p_job.result end, 'error', case when not p_omit then p_job.error end,
    'item', case when p_job.item_of is not null then json_build_object('of', p_job.item_of, 'index', p_job.item_index) end,
    'items', case when p_job.map is not null then (
      select json_build_object('total', max(total), 'made', coalesce(max(made), 0), 'succeeded', coalesce(max(succeeded), 0),
                               'failed', coalesce(max(failed), 0), 'cancelled', coalesce(max(cancelled), 0))
        from public.loom_maps where job_id = p_job.id) end,
    'omitted_bytes', case when p_omit then coalesce(octet_length(p_job.result), 0) + coalesce(octet_length(p_job.error), 0) end,
    'run_at', p_job.run_at, 'start_by', p_job.start_by,
    'created_at', p_job.created_at, 'claimed_at', p_job.claimed_at, 'finished_at', p_job.finished_at);
end $$;

-- Returns a job, or null.
create or replace function public.loom_get_job(p_job bigint)
  returns json
  language sql
  stable
  security definer
  set search_path = ''
as $$
  select public.loom_describe_job(job) from public.loom_job_queue as job where job.id = p_job;
$$;

-- Lists jobs, newest first, without inputs and results: steps of runs, and single jobs.
-- Every filter may be null. p_after is the `next` of an earlier answer.
--
-- One call reads at most 10 000 jobs, as in loom_list_runs: the table is written too
-- often for an index for every filter.
create or replace function public.loom_list_jobs(
  p_workflow text default null,
  p_state    text default null,
  p_node     text default null,
  p_run      uuid default null,
  p_after    bigint default null,
  p_limit    integer default 50
)
  returns json
  language sql
  stable
  security definer
  set search_path = ''
as $$
  with seen as materialized (
    (select id, state, workflow_id, target_host, ran_on from public.loom_jobs
      where p_run is null and id < coalesce(p_after, 9223372036854775807)
      order by id desc limit 10000)
    union all
    (select id, state, workflow_id, target_host, ran_on from public.loom_jobs
      where run_id = p_run and item_of is null and id < coalesce(p_after, 9223372036854775807)
      order by id desc limit 10000)
  ),
  page as materialized (
    select id from seen
     where (p_state is null or state::text = p_state)
       and (p_workflow is null or workflow_id = p_workflow)
       and (p_node is null or target_host = p_node or ran_on = p_node)
     limit least(greatest(p_limit, 1), 500)
  )
  select json_build_object(
    'jobs', coalesce((select json_agg(json_build_object(
      'id', job.id, 'run_id', job.run_id, 'workflow_id', job.workflow_id, 'step_id', job.step_id,
      'item', case when job.item_of is not null then json_build_object('of', job.item_of, 'index', job.item_index) end,
      'key', job.key, 'state', job.state, 'target_host', job.target_host, 'ran_on', job.ran_on,
      'requires', job.requires, 'priority', job.priority, 'waiting_reason', job.waiting_reason,
      'attempt', job.attempt, 'max_attempts', job.max_attempts, 'crash_restarts', job.crash_restarts,
      'cancel_requested_at', job.cancel_requested_at, 'run_at', job.run_at, 'created_at', job.created_at,
      'claimed_at', job.claimed_at, 'finished_at', job.finished_at) order by job.id desc)
      from public.loom_job_queue as job where job.id = any(array(select id from page))), '[]'),
    'next', case when (select count(*) from page) >= least(greatest(p_limit, 1), 500)
                 then (select min(id) from page)
                 else (select id from seen offset 9999 limit 1) end);
$$;

-- Adds single jobs without a run, up to 1000 at once.
--
-- What jobs have in common is said once in p_specs (loom_intern_specs), and the rest in columns: every other argument
-- has one element for each job, or is null if no job has one. p_spec_of counts from 1; if it is null, all jobs have the
-- first specification.
--
-- If a workflow already has a job with the same key, the existing job is returned and
-- no new one is added. So a caller whose answer was lost simply calls again. Keys are
-- inserted in one order, so two batches with common keys cannot deadlock. p_notify as
-- in loom_place_jobs, for jobs that name their node.
create or replace function public.loom_enqueue_jobs(
  p_specs            json,
  p_payloads         text[],
  p_spec_of          integer[] default null,
  p_keys             text[] default null,
  p_hosts            text[] default null,
  p_delays           bigint[] default null,
  p_concurrency_keys text[] default null,
  p_traceparents     text[] default null,
  p_notify           boolean default false
)
  returns json
  language plpgsql
  security definer
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
  set plan_cache_mode = force_generic_plan
as $$
declare
  v_now     timestamptz := clock_timestamp();
  v_count   integer := cardinality(p_payloads);
  v_longest integer;
  v_is_bad  boolean;
  v_specs   integer[];
  v_ids     bigint[];
  v_added   bigint[];
  v_nodes   text;
  v_answer  json;
  v_is_gone boolean;
begin
  if v_count = 0 then
    return '[]';
  end if;
  if v_count is null or v_count > public.loom_limit('jobs_per_call') then
    raise exception 'jobs are at most %', public.loom_limit('jobs_per_call')
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'enqueue in smaller batches';
  end if;
  -- A column that is too long adds rows without an input.
  select max(octet_length(payload)),
         bool_or(payload is null or spec_of not between 1 and json_array_length(p_specs)
                 or length(key) not between 1 and public.loom_limit('key_length')
                 or length(concurrency_key) not between 1 and public.loom_limit('concurrency_key_length')
                 or length(traceparent) > 200)
    into v_longest, v_is_bad
    from unnest(p_payloads, p_spec_of, p_keys, p_concurrency_keys, p_traceparents)
         as item(payload, spec_of, key, concurrency_key, traceparent);
  if v_longest > public.loom_limit('input_bytes') then
    raise exception 'the input of a job holds at most % bytes as JSON', public.loom_limit('input_bytes')
      using errcode = 'PT413', detail = 'INPUT_TOO_LARGE', hint = 'store the data elsewhere and pass a reference';
  end if;
  if v_is_bad or greatest(cardinality(p_hosts), cardinality(p_delays)) > v_count then
    raise exception 'each job has an input, one of the specifications, a key of at most % characters and a concurrency key of at most %',
      public.loom_limit('key_length'), public.loom_limit('concurrency_key_length')
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'check the lengths of what is sent';
  end if;
  if not public.loom_are_json(p_payloads) then
    raise exception 'the input of a job is JSON, nested at most % levels', public.loom_limit('json_depth')
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'send the output of JSON.stringify';
  end if;
  v_specs := public.loom_intern_specs(p_specs);
  if p_concurrency_keys is not null and exists (
       select from unnest(p_concurrency_keys, p_spec_of) as item(concurrency_key, spec_of)
        where concurrency_key is not null and not exists (
          select from public.loom_job_specs where id = v_specs[coalesce(spec_of, 1)] and concurrency_limit is not null offset 0)) then
    raise exception 'a concurrency key needs a limit'
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'say how many jobs of the key may run';
  end if;

  v_ids := array(select nextval('public.loom_jobs_id_seq') from generate_series(1, v_count));
  with added as (
    insert into public.loom_jobs (
      id, workflow_id, step_id, spec, key, payload, host_pinned, target_host, priority, run_at, start_by,
      concurrency_key, traceparent, state)
    overriding system value
    select item.id, spec.workflow_id, spec.step_id, spec.id, item.key,
           case when octet_length(item.payload) <= 256 then item.payload end,
           item.host is not null, item.host, spec.priority, v_now + coalesce(item.delay_ms, 0) * interval '1 millisecond',
           v_now + (coalesce(item.delay_ms, 0) + spec.start_within_ms) * interval '1 millisecond',
           item.concurrency_key, item.traceparent,
           case when item.host is null then 'waiting' else 'pending' end::public.loom_job_state
      from unnest(v_ids, p_payloads, p_spec_of, p_keys, p_hosts, p_delays, p_concurrency_keys, p_traceparents)
           as item(id, payload, spec_of, key, host, delay_ms, concurrency_key, traceparent)
     cross join lateral (
       select id, workflow_id, step_id, priority, start_within_ms from public.loom_job_specs
        where id = v_specs[coalesce(item.spec_of, 1)] offset 0) as spec
     order by item.key, spec.workflow_id, item.id
    on conflict (workflow_id, key) where key is not null do nothing
    returning id, run_at, start_by, spec, priority, target_host, payload is null as is_wide, workflow_id, concurrency_key, state
  ),
  ready as (
    insert into public.loom_ready (job_id, run_at, start_by, kind, priority, host, is_wide, workflow_id, concurrency_key)
    select added.id, added.run_at, added.start_by, spec.kind, added.priority, added.target_host, added.is_wide,
           added.workflow_id, added.concurrency_key
      from added
     cross join lateral (select kind from public.loom_job_specs where id = added.spec offset 0) as spec
  ),
  event as (
    insert into public.loom_event_batches (type, state, node, jobs)
    select 'job.created', state, target_host, array_agg(id order by id) from added group by state, target_host
  )
  select coalesce(array_agg(id), '{}'), string_agg(distinct target_host, ',') filter (where p_notify)
    into v_added, v_nodes
    from added;
  if v_longest > 256 then
    insert into public.loom_job_details (job_id, payload)
    select id, payload from unnest(v_ids, p_payloads) as item(id, payload)
     where octet_length(payload) > 256 and id = any(v_added);
  end if;
  if p_notify and v_nodes is not null and length(v_nodes) < 8000 then
    perform pg_notify('loom_offers', v_nodes);
  end if;

  if cardinality(v_added) = v_count then
    return (select json_agg(created order by id) from (select unnest(v_ids) as id, 'created' as returned) as created);
  end if;

  -- A separate statement, because the existing job may have been committed while the
  -- insert waited.
  select coalesce(json_agg(json_build_object(
           'id', coalesce(present.id, item.id),
           'returned', case when present.id is null then 'created' else 'existing' end) order by item.id), '[]'),
         bool_or(present.id is null and item.id <> all(v_added))
    into v_answer, v_is_gone
    from unnest(v_ids, p_spec_of, p_keys) as item(id, spec_of, key)
    left join lateral (
      select job.id from public.loom_jobs as job
       where item.id <> all(v_added) and job.key = item.key
         and job.workflow_id = (select workflow_id from public.loom_job_specs where id = v_specs[coalesce(item.spec_of, 1)])
      offset 0) as present on true;
  -- The job was pruned after the insert found it, so neither the old job nor a new one
  -- exists.
  if v_is_gone then
    raise exception 'a job with one of these keys was removed during the call' using errcode = 'no_data_found';
  end if;
  return v_answer;
end $$;

-- Cancels jobs. A job that no node runs is cancelled at once. For a running job, the
-- request is stored, and its node gets it with the next heartbeat; a hub wakes the node
-- for that. A finished job stays as it is.
--
-- Answers for each job: cancelled, requested, finished or unknown. Waits for the locks
-- of runs and jobs, in that order and by id, like a settle. If a settle comes first,
-- the job is finished. If it comes second, it finds the request: a success still
-- counts, and a failure becomes cancelled.
create or replace function public.loom_cancel_jobs(p_jobs bigint[])
  returns json
  language plpgsql
  security definer
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
  -- Ten thousand answers are joined with as many questions.
  set enable_nestloop = off
  set lock_timeout = '5s'
as $$
declare
  v_now       timestamptz := clock_timestamp();
  v_cancelled bigint[];
  v_runs      uuid[];
  v_fences    integer[];
  v_requested bigint[];
  v_maps      bigint[];
  v_jobs      bigint[];
begin
  if cardinality(p_jobs) > 10000 then
    raise exception 'cancel at most 10000 jobs at once'
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'cancel the run instead';
  end if;
  -- No item is made while the run is locked.
  perform public.loom_lock_runs(p_jobs);
  v_maps := array(select id from public.loom_jobs where id = any(p_jobs) and state = 'mapping');
  v_jobs := p_jobs || array(select id from public.loom_jobs where item_of = any(v_maps) and finished_at is null);
  perform public.loom_lock_jobs(v_jobs);

  with open as materialized (
    select id, state, cancel_requested_at is not null as is_repeated from public.loom_jobs
     where id = any(v_jobs) and finished_at is null
  ),
  written as (
    update public.loom_jobs as job
       set cancel_requested_at = coalesce(job.cancel_requested_at, v_now),
           state               = case when open.state in ('running', 'mapping') then open.state else 'cancelled' end,
           finished_at         = case when open.state in ('running', 'mapping') then null else v_now end
      from open
     -- As in loom_advance_runs.
     where job.id = any(array[open.id])
    returning job.id, job.run_id, job.state, job.ran_on, job.fence, open.is_repeated
  ),
  event as (
    insert into public.loom_event_batches (type, state, node, jobs, runs, fences)
    select 'job.cancel_requested', state, ran_on, array_agg(id), array_agg(run_id), array_agg(fence)
      from written where state in ('running', 'mapping') and not is_repeated
     group by state, ran_on
  )
  select coalesce(array_agg(id order by id) filter (where state = 'cancelled'), '{}'),
         array_agg(run_id order by id) filter (where state = 'cancelled'),
         array_agg(fence order by id) filter (where state = 'cancelled'),
         coalesce(array_agg(id) filter (where state in ('running', 'mapping')), '{}')
    into v_cancelled, v_runs, v_fences, v_requested
    from written;
  perform public.loom_note_jobs('job.cancelled', 'cancelled', v_cancelled, v_runs, v_fences);
  delete from public.loom_ready where job_id = any(v_cancelled);
  perform public.loom_withdraw_waits(v_cancelled);
  update public.loom_maps set is_due = false where job_id = any(v_maps);
  perform public.loom_advance_runs(v_cancelled || v_maps);

  return (
    with done as materialized (
      select unnest(v_cancelled) as id, 'cancelled' as answer
      union all
      select id, case when finished_at is null then 'requested' else 'cancelled' end from public.loom_jobs where id = any(v_requested)
    )
    select coalesce(json_agg(json_build_object('id', wanted.id, 'answer',
             case when done.id is not null then done.answer
                  when exists (select from public.loom_jobs where id = wanted.id offset 0) then 'finished'
                  else 'unknown' end) order by ord), '[]')
      from unnest(p_jobs) with ordinality as wanted(id, ord)
      left join done on done.id = wanted.id);
end $$;

-- Adds a copy of each failed or cancelled job that belongs to no run. The old job stays
-- as it ended. A job gets one copy: a second call returns the first call's copy.
create or replace function public.loom_redrive_jobs(p_jobs bigint[], p_traceparent text default null)
  returns json
  language plpgsql
  security definer
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
as $$
declare
  v_now   timestamptz := clock_timestamp();
  v_added bigint[];
begin
  if cardinality(p_jobs) > public.loom_limit('jobs_per_call') or length(p_traceparent) > 200 then
    raise exception 'redrive at most % jobs at once', public.loom_limit('jobs_per_call')
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'redrive in smaller batches';
  end if;
  with added as (
    insert into public.loom_jobs (
      workflow_id, step_id, spec, key, payload, host_pinned, target_host, priority, run_at, start_by, concurrency_key,
      traceparent, state)
    select job.workflow_id, job.step_id, job.spec, format('redrive of %s', job.id), job.payload, job.host_pinned,
           case when job.host_pinned then job.target_host end, job.priority, v_now,
           v_now + spec.start_within_ms * interval '1 millisecond', job.concurrency_key,
           p_traceparent, case when job.host_pinned then 'pending' else 'waiting' end::public.loom_job_state
      from public.loom_jobs as job
     cross join lateral (select start_within_ms from public.loom_job_specs where id = job.spec offset 0) as spec
     where job.id = any(p_jobs) and job.run_id is null and job.state in ('failed', 'cancelled')
     order by job.id
    on conflict do nothing
    returning id, state, target_host
  ),
  event as (
    insert into public.loom_event_batches (type, state, node, jobs)
    select 'job.created', state, target_host, array_agg(id order by id) from added group by state, target_host
  )
  select array_agg(id) into v_added from added;
  insert into public.loom_job_details (job_id, payload)
  select copy.id, detail.payload
    from public.loom_jobs as copy
   cross join lateral (
     select payload from public.loom_job_details where job_id = split_part(copy.key, ' ', 3)::bigint offset 0) as detail
   where copy.id = any(v_added) and copy.payload is null;
  perform public.loom_copy_checkpoints(array_agg(id), array_agg(split_part(key, ' ', 3)::bigint)) from public.loom_jobs where id = any(v_added);
  perform public.loom_make_ready(v_added, true);

  return (
    select coalesce(json_agg(json_build_object('id', wanted.id, 'redriven_as', copy.id) order by ord), '[]')
      from unnest(p_jobs) with ordinality as wanted(id, ord)
      left join lateral (select workflow_id from public.loom_jobs where id = wanted.id offset 0) as old on true
      left join lateral (
        select id from public.loom_jobs
         where workflow_id = old.workflow_id and key = format('redrive of %s', wanted.id) offset 0) as copy on true);
end $$;
