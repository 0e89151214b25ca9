-- A run with its steps in the order of the workflow, or null.
create or replace function public.loom_get_run(p_run uuid)
  returns json
  language sql
  stable
  security definer
  set search_path = ''
as $$
  select json_build_object(
    'id', run.id, 'workflow_id', run.workflow_id, 'version', run.version, 'input', run.input,
    'status', run.status, 'trigger', run.trigger, 'asked_by', run.asked_by,
    'created_at', run.created_at, 'finished_at', run.finished_at,
    'jobs', (
      select coalesce(json_agg(json_build_object(
               'id', job.id, 'run_id', job.run_id, 'workflow_id', job.workflow_id, 'step_id', job.step_id,
               'after', job.after, 'requires', job.requires, 'host_pinned', job.host_pinned,
               'target_host', job.target_host, 'ran_on', job.ran_on, 'priority', job.priority, 'state', job.state,
               'waiting_reason', job.waiting_reason, 'placement', job.placement,
               'attempt', job.attempt, 'max_attempts', job.max_attempts, 'crash_restarts', job.crash_restarts,
               'fence', job.fence, 'result', job.result, 'error', job.error,
               'run_at', job.run_at, 'created_at', job.created_at, 'claimed_at', job.claimed_at,
               'finished_at', job.finished_at) order by job.id), '[]')
        from public.loom_job_queue as job
       where job.run_id = run.id))
    from public.loom_runs as run
   where run.id = p_run;
$$;

revoke all on function public.loom_get_run from public, anon, authenticated, service_role;
grant execute on function public.loom_get_run to service_role;
