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
    'status', run.status, 'trigger', run.trigger, 'asked_by', run.asked_by, 'retry_of', run.retry_of,
    'created_at', run.created_at, 'finished_at', run.finished_at,
    'jobs', (select coalesce(json_agg(public.loom_describe_job(job) order by job.id), '[]')
               from public.loom_job_queue as job
              where job.run_id = run.id))
    from public.loom_runs as run
   where run.id = p_run;
$$;

revoke all on function public.loom_get_run from public, anon, authenticated, service_role;
grant execute on function public.loom_get_run to service_role;
