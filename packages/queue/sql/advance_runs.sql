-- What follows when jobs have just reached a final state: dependents become ready
-- or are skipped, and a run without unfinished steps is finished.
--
-- The caller holds the locks of these jobs' runs (loom_lock_runs). A run's status
-- follows from its steps alone: failed if one failed, else cancelled if one was,
-- else succeeded.
create or replace function public.loom_advance_runs(p_finished bigint[])
  returns void
  language plpgsql
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
declare
  v_now timestamptz := clock_timestamp();
begin
  if p_finished = '{}' then
    return;
  end if;
  -- Several of a job's needs may have succeeded in one batch: subtract them together.
  with freed as materialized (
    select done.run_id, freed.step_id, count(*)::integer as needs
      from public.loom_job_queue as done, unnest(done.dependents) as freed(step_id)
     where done.id = any(p_finished) and done.state = 'succeeded'
     group by done.run_id, freed.step_id
  ),
  ready as (
  update public.loom_job_queue as job
     set waits_for = job.waits_for - freed.needs,
         run_at    = case when job.waits_for = freed.needs then v_now else job.run_at end,
         start_by  = case when job.waits_for = freed.needs
                          then v_now + job.start_within_ms * interval '1 millisecond' end,
         state     = case when job.waits_for > freed.needs then 'blocked'
                          when job.host_pinned then 'pending'
                          else 'waiting' end
    from freed
   where job.run_id = freed.run_id and job.step_id = freed.step_id and job.state = 'blocked'
  returning job.id, job.run_id, job.state
  )
  insert into public.loom_events (type, run_id, job_id, state)
  select 'job.ready', run_id, id, state from ready where state <> 'blocked';

  with recursive lost as (
    select job.run_id, next.step_id
      from public.loom_job_queue as job, unnest(job.dependents) as next(step_id)
     where job.id = any(p_finished) and job.state in ('failed', 'cancelled', 'skipped')
    union
    select job.run_id, next.step_id
      from lost
      join public.loom_job_queue as job on job.run_id = lost.run_id and job.step_id = lost.step_id
     cross join unnest(job.dependents) as next(step_id)
  ),
  skipped as (
    update public.loom_job_queue as job
       set state = 'skipped', finished_at = v_now
      from lost
     where job.run_id = lost.run_id and job.step_id = lost.step_id and job.state = 'blocked'
    returning job.id, job.run_id
  )
  insert into public.loom_events (type, run_id, job_id, state)
  select 'job.skipped', run_id, id, 'skipped' from skipped;

  with finished as (
  update public.loom_runs as run
     set finished_at = v_now,
         status      = case
           when exists (select from public.loom_job_queue where run_id = run.id and state = 'failed') then 'failed'
           when exists (select from public.loom_job_queue where run_id = run.id and state = 'cancelled') then 'cancelled'
           else 'succeeded' end
   where run.id = any(array(select run_id from public.loom_job_queue
                            where id = any(p_finished) and run_id is not null))
     and run.status = 'running'
     and not exists (select from public.loom_job_queue where run_id = run.id and finished_at is null)
  returning run.id, run.status
  )
  insert into public.loom_events (type, run_id, state)
  select 'run.finished', id, status from finished;
end $$;

revoke all on function public.loom_advance_runs from public, anon, authenticated, service_role;
