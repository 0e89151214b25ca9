-- Adds a copy of each failed or cancelled job that belongs to no run; the old one
-- stays as it ended. One copy a job, however often this is called: what a second
-- call finds is the first one's copy.
create or replace function public.loom_redrive_jobs(p_jobs bigint[], p_traceparent text default null)
  returns json
  language plpgsql
  security definer
  set search_path = ''
as $$
begin
  with added as (
    insert into public.loom_job_queue (
      workflow_id, step_id, key, payload, requires, prefers, requirement_key, host_pinned, target_host, priority,
      start_within_ms, start_by, timeout_ms, max_attempts, max_crash_restarts, backoff_kind, backoff_ms, backoff_max_ms,
      concurrency_key, concurrency_limit, traceparent, state)
    select workflow_id, step_id, format('redrive of %s', id), payload, requires, prefers, requirement_key, host_pinned,
           case when host_pinned then target_host end, priority,
           start_within_ms, clock_timestamp() + start_within_ms * interval '1 millisecond',
           timeout_ms, max_attempts, max_crash_restarts, backoff_kind, backoff_ms, backoff_max_ms,
           concurrency_key, concurrency_limit, p_traceparent, case when host_pinned then 'pending' else 'waiting' end
      from public.loom_job_queue
     where id = any(p_jobs) and run_id is null and state in ('failed', 'cancelled')
     order by id
    on conflict do nothing
    returning id, state, target_host
  )
  insert into public.loom_events (type, job_id, state, node)
  select 'job.created', id, state, target_host from added;

  return (
    select coalesce(json_agg(json_build_object('id', wanted.id, 'redriven_as', copy.id) order by ord), '[]')
      from unnest(p_jobs) with ordinality as wanted(id, ord)
      left join public.loom_job_queue as old on old.id = wanted.id
      left join public.loom_job_queue as copy
        on copy.workflow_id = old.workflow_id and copy.key = format('redrive of %s', old.id));
end $$;

revoke all on function public.loom_redrive_jobs from public, anon, authenticated, service_role;
grant execute on function public.loom_redrive_jobs to service_role;
