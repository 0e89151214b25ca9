-- Starts a run: the run's row and a row for every step, in one transaction.
--
-- Repeating a call with the same key answers with the first one's run, so a caller
-- whose response was lost simply calls again. Two callers with one key at the same
-- time: the unique constraint makes the second wait, and then find the first's run.
create or replace function public.loom_start_run(
  p_workflow text,
  p_version  text,
  p_input    text,
  p_jobs     json,
  p_trigger  text default 'api',
  p_key      text default null,
  p_asked_by text default null,
  p_retry_of uuid default null
)
  returns json
  language plpgsql
  security definer
  set search_path = ''
as $$
declare
  v_run  uuid;
  v_odd  text;
begin
  if json_typeof(p_jobs) is distinct from 'array' or json_array_length(p_jobs) not between 1 and 10000 then
    raise exception 'a run has 1 to 10000 steps'
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'split the workflow';
  end if;
  if octet_length(p_input) > 262144 then
    raise exception 'the input of a run holds at most 256 KiB, this one has % bytes', octet_length(p_input)
      using errcode = 'PT413', detail = 'INPUT_TOO_LARGE', hint = 'store the data elsewhere and pass a reference';
  end if;

  insert into public.loom_runs (workflow_id, version, input, trigger, idempotency_key, asked_by, retry_of)
  values (p_workflow, p_version, p_input, p_trigger, p_key, p_asked_by, p_retry_of)
  on conflict (workflow_id, idempotency_key) do nothing
  returning id into v_run;

  if v_run is null then
    select id into strict v_run from public.loom_runs where workflow_id = p_workflow and idempotency_key = p_key;
    return json_build_object('run_id', v_run, 'returned', 'existing');
  end if;

  -- An edge to a step that does not come earlier would leave its job blocked for ever.
  with step as (
    select ord, e ->> 'step' as name, e -> 'after' as after
      from json_array_elements(p_jobs) with ordinality as t(e, ord)
  )
  select format('step %s waits for %s', step.name, needed) into v_odd
    from step, json_array_elements_text(step.after) as needed
   where not exists (select from step as earlier where earlier.name = needed and earlier.ord < step.ord)
   limit 1;
  if v_odd is not null then
    raise exception '%, which is not an earlier step', v_odd
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'list the steps so that each comes after those it needs';
  end if;

  with step as materialized (
    select ord,
           e ->> 'step'                                                as step_id,
           array(select distinct json_array_elements_text(e -> 'after')) as after,
           array(select json_array_elements_text(e -> 'requires'))     as requires,
           (e -> 'prefers')::jsonb                                     as prefers,
           e ->> 'host'                                                as host,
           (e ->> 'priority')::smallint                                as priority,
           (e ->> 'timeout_ms')::integer                               as timeout_ms,
           (e ->> 'max_attempts')::integer                             as max_attempts,
           coalesce((e ->> 'max_crash_restarts')::integer, 3)          as max_crash_restarts,
           e ->> 'backoff_kind'                                        as backoff_kind,
           (e ->> 'backoff_ms')::integer                               as backoff_ms,
           (e ->> 'backoff_max_ms')::integer                           as backoff_max_ms,
           (e ->> 'start_within_ms')::integer                          as start_within_ms,
           e ->> 'concurrency_key'                                     as concurrency_key,
           (e ->> 'concurrency_limit')::integer                        as concurrency_limit,
           e ->> 'traceparent'                                         as traceparent
      from json_array_elements(p_jobs) with ordinality as t(e, ord)
  ),
  edge as materialized (
    select needed, array_agg(step_id order by ord) as dependents
      from step, unnest(after) as needed
     group by needed
  ),
  created as (
    insert into public.loom_job_queue (
      run_id, workflow_id, step_id, after, waits_for, dependents, requires, prefers, requirement_key,
      host_pinned, target_host, priority, timeout_ms, max_attempts, max_crash_restarts, backoff_kind, backoff_ms, backoff_max_ms,
      start_within_ms, start_by, concurrency_key, concurrency_limit, traceparent, state)
    select v_run, p_workflow, step_id, after, cardinality(after), coalesce(edge.dependents, '{}'), requires, prefers,
           public.loom_requirement_key(p_workflow, requires, prefers, v_run),
           host is not null, host, priority, timeout_ms, max_attempts, max_crash_restarts, backoff_kind, backoff_ms, backoff_max_ms,
           start_within_ms,
           case when cardinality(after) = 0 then clock_timestamp() + start_within_ms * interval '1 millisecond' end,
           concurrency_key, concurrency_limit, traceparent,
           case when cardinality(after) > 0 then 'blocked'
                when host is not null then 'pending'
                else 'waiting' end
      from step
      left join edge on edge.needed = step.step_id
     order by ord
    returning id, state, target_host
  )
  insert into public.loom_events (type, run_id, job_id, state, node, detail)
  select 'run.started', v_run, null, 'running', null, p_workflow
  union all
  select 'job.created', v_run, id, state, target_host, null from created;

  return json_build_object('run_id', v_run, 'returned', 'created');
end $$;

revoke all on function public.loom_start_run from public, anon, authenticated, service_role;
grant execute on function public.loom_start_run to service_role;
