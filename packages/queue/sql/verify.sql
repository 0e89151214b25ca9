-- What cannot be, as rows are now: statuses that do not follow from the steps, jobs
-- that wait for a number of steps that is not so, limits that are exceeded, slots that are
-- decided too early or have another schedule's run. Reads everything: for tests and for
-- a doctor, not for a loop. Empty when all is well.
create or replace function public.loom_verify()
  returns json
  language sql
  stable
  security definer
  set search_path = ''
as $$
  with step as (
    select run_id,
           count(*) filter (where finished_at is null) as open,
           count(*) filter (where state = 'failed') as failed,
           count(*) filter (where state = 'cancelled') as cancelled
      from public.loom_job_queue where run_id is not null group by run_id
  ),
  problem as (
    select format('run %s is %s with %s open, %s failed, %s cancelled steps', run.id, run.status, step.open, step.failed, step.cancelled) as text
      from public.loom_runs as run join step on step.run_id = run.id
     where run.status <> case when step.open > 0 then 'running' when step.failed > 0 then 'failed'
                              when step.cancelled > 0 then 'cancelled' else 'succeeded' end
    union all
    select format('job %s waits for %s steps, of which %s have not succeeded', job.id, job.waits_for, needs.open)
      from public.loom_job_queue as job
     cross join lateral (
       select count(*) as open from public.loom_job_queue as need
        where need.run_id = job.run_id and need.step_id = any(job.after) and need.state <> 'succeeded') as needs
     where job.state = 'blocked' and job.waits_for <> needs.open
    union all
    select format('job %s waits for step %s, which is %s', job.id, need.step_id, need.state)
      from public.loom_job_queue as job
      join public.loom_job_queue as need on need.run_id = job.run_id and need.step_id = any(job.after)
     where job.state = 'blocked' and need.state in ('failed', 'cancelled', 'skipped')
    union all
    select format('%s jobs of key %s run, and its limit is %s', count(*), concurrency_key, max(concurrency_limit))
      from public.loom_job_queue
     where concurrency_key is not null and claimed_by is not null
     group by concurrency_key having count(*) > max(concurrency_limit)
    union all
    select format('job %s runs under epoch %s of %s, whose epoch is %s', job.id, job.epoch, job.claimed_by, session.epoch)
      from public.loom_job_queue as job
      left join public.loom_node_sessions as session on session.node = job.claimed_by
     where job.claimed_by is not null and (session.epoch is null or job.epoch > session.epoch)
    union all
    select format('slot %s has its outcome, and its schedule is decided until %s', slot.id, schedule.decided_until)
      from public.loom_schedule_slots as slot
      join public.loom_schedules as schedule on schedule.id = slot.schedule_id
     where slot.slot_at > schedule.decided_until
    union all
    select format('slot %s is of schedule %s, and its run of %s', slot.id, slot.schedule_id, coalesce(run.schedule_id, 'none'))
      from public.loom_schedule_slots as slot
      join public.loom_runs as run on run.id = slot.run_id
     where run.schedule_id is distinct from slot.schedule_id
  )
  select coalesce(json_agg(text), '[]') from problem;
$$;

revoke all on function public.loom_verify from public, anon, authenticated, service_role;
grant execute on function public.loom_verify to service_role;
