-- All that says why a job is not running, as it is at one moment: the job, what placing weighs
-- of it, and what holds it up whatever the nodes are like. Null where there is no such job.
create or replace function public.loom_weigh_job(p_job bigint)
  returns json
  language sql
  stable
  security definer
  set search_path = ''
as $$
  select json_build_object(
           'job', public.loom_describe_job(job),
           'weighed', public.loom_list_waiting(p_job => job.id),
           'due_in_ms', greatest(0, ceil(1000 * extract(epoch from job.run_at - now()))),
           'is_paused', exists (select from public.loom_paused_workflows as paused
                                 where paused.workflow_id = job.workflow_id),
           'open_steps', (
             select coalesce(json_agg(json_build_object('step_id', earlier.step_id, 'state', earlier.state)
                                      order by earlier.step_id), '[]')
               from public.loom_job_queue as earlier
              where earlier.run_id = job.run_id and earlier.step_id = any(job.after)
                and earlier.state <> 'succeeded'))
    from public.loom_job_queue as job
   where job.id = p_job;
$$;

revoke all on function public.loom_weigh_job from public, anon, authenticated, service_role;
grant execute on function public.loom_weigh_job to service_role;
