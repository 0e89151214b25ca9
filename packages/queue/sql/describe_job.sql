-- A job's row as the API shows it: the one place that names its columns.
create or replace function public.loom_describe_job(p_job public.loom_job_queue)
  returns json
  language sql
  stable
  set search_path = ''
as $$
  select json_build_object(
    'id', p_job.id, 'run_id', p_job.run_id, 'workflow_id', p_job.workflow_id, 'step_id', p_job.step_id,
    'key', p_job.key, 'payload', p_job.payload, 'after', p_job.after, 'requires', p_job.requires,
    'host_pinned', p_job.host_pinned, 'pinned_to', case when p_job.host_pinned then p_job.target_host end,
    'target_host', p_job.target_host, 'ran_on', p_job.ran_on,
    'declined_by', p_job.declined_by, 'crashed_on', p_job.crashed_on, 'priority', p_job.priority, 'state', p_job.state,
    'waiting_reason', p_job.waiting_reason, 'placement', p_job.placement,
    'attempt', p_job.attempt, 'max_attempts', p_job.max_attempts, 'crash_restarts', p_job.crash_restarts,
    'fence', p_job.fence, 'cancel_requested_at', p_job.cancel_requested_at,
    'concurrency_key', p_job.concurrency_key, 'concurrency_limit', p_job.concurrency_limit,
    'result', p_job.result, 'error', p_job.error, 'run_at', p_job.run_at, 'start_by', p_job.start_by,
    'created_at', p_job.created_at, 'claimed_at', p_job.claimed_at, 'finished_at', p_job.finished_at);
$$;

revoke all on function public.loom_describe_job from public, anon, authenticated, service_role;
