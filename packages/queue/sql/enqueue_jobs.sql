-- Adds jobs of their own, without a run; up to 1000 at once.
--
-- A job with a key that its workflow already has is not added: the answer is the
-- job that is there, so a caller whose answer was lost simply calls again. Keys are
-- inserted in one order, so that two batches that share some wait in line instead of
-- for each other. p_notify as in loom_place_jobs, for jobs that name their node.
create or replace function public.loom_enqueue_jobs(p_jobs json, p_notify boolean default false)
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
  v_added   bigint[];
  v_are_all boolean;
  v_nodes   text;
  v_answer  json;
  v_is_gone boolean;
begin
  if json_typeof(p_jobs) is distinct from 'array' or json_array_length(p_jobs) > 1000 then
    raise exception 'jobs are an array of at most 1000'
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'enqueue in smaller batches';
  end if;
  -- The text of all of them is never shorter than one payload.
  if octet_length(p_jobs::text) > 262144
     and exists (select from json_array_elements(p_jobs) as e where octet_length(e ->> 'payload') > 262144) then
    raise exception 'the input of a job holds at most 256 KiB'
      using errcode = 'PT413', detail = 'INPUT_TOO_LARGE', hint = 'store the data elsewhere and pass a reference';
  end if;

  with item as materialized (
    select nextval('public.loom_job_queue_id_seq') as id, job.*
      from rows from (json_to_recordset(p_jobs) as (
             workflow text, step text, key text, payload text, requires text[], prefers jsonb, host text,
             priority smallint, delay_ms bigint, start_within_ms integer, timeout_ms integer,
             max_attempts integer, max_crash_restarts integer,
             backoff_kind text, backoff_ms integer, backoff_max_ms integer,
             concurrency_key text, concurrency_limit integer, traceparent text))
           with ordinality as job(
             workflow, step, key, payload, requires, prefers, host, priority, delay_ms, start_within_ms, timeout_ms,
             max_attempts, max_crash_restarts, backoff_kind, backoff_ms, backoff_max_ms,
             concurrency_key, concurrency_limit, traceparent, ord)
  ),
  added as (
    insert into public.loom_job_queue (
      id, workflow_id, step_id, key, payload, requires, prefers, requirement_key, host_pinned, target_host,
      priority, run_at, start_within_ms, start_by, timeout_ms, max_attempts, max_crash_restarts,
      backoff_kind, backoff_ms, backoff_max_ms, concurrency_key, concurrency_limit, traceparent, state)
    overriding system value
    select id, workflow, step, key, payload, coalesce(requires, '{}'), prefers,
           public.loom_requirement_key(workflow, coalesce(requires, '{}'), prefers),
           host is not null, host, priority, due.at, start_within_ms,
           due.at + start_within_ms * interval '1 millisecond', timeout_ms, max_attempts, max_crash_restarts,
           backoff_kind, backoff_ms, backoff_max_ms, concurrency_key, concurrency_limit, traceparent,
           case when host is null then 'waiting' else 'pending' end
      from item
     cross join lateral (select clock_timestamp() + coalesce(delay_ms, 0) * interval '1 millisecond' as at) as due
     order by workflow, key, ord
    on conflict (workflow_id, key) where key is not null do nothing
    returning id, state, target_host
  ),
  event as (
    insert into public.loom_events (type, job_id, state, node)
    select 'job.created', id, state, target_host from added
  )
  select coalesce(array_agg(id), '{}'), count(*) = (select count(*) from item),
         string_agg(distinct target_host, ',') filter (where p_notify),
         (select coalesce(json_agg(created), '[]') from (select id, 'created' as returned from item order by ord) as created)
    into v_added, v_are_all, v_nodes, v_answer
    from added;
  if p_notify and v_nodes is not null and length(v_nodes) < 8000 then
    perform pg_notify('loom_offers', v_nodes);
  end if;

  if v_are_all then
    return v_answer;
  end if;

  -- A statement of its own: the job that was there may have been committed while the insert waited.
  select coalesce(json_agg(json_build_object(
           'id', coalesce(present.id, item.id),
           'returned', case when present.id is null then 'created' else 'existing' end) order by ord), '[]'),
         bool_or(present.id is null and item.id <> all(v_added))
    into v_answer, v_is_gone
    from rows from (json_to_recordset(v_answer) as (id bigint), json_to_recordset(p_jobs) as (workflow text, key text))
         with ordinality as item(id, workflow, key, ord)
    left join public.loom_job_queue as present
      on item.id <> all(v_added) and present.workflow_id = item.workflow and present.key = item.key;
  -- Pruned since the insert found it: neither the old job nor a new one is there.
  if v_is_gone then
    raise exception 'a job with one of these keys was removed at this moment' using errcode = 'no_data_found';
  end if;
  return v_answer;
end $$;

revoke all on function public.loom_enqueue_jobs from public, anon, authenticated, service_role;
grant execute on function public.loom_enqueue_jobs to service_role;
