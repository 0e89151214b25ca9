-- Gives running jobs back that their node has lost. That is not the step's fault:
-- it spends a crash restart, not an attempt, and only so many of those.
--
-- Waiting for the locks of runs takes a while. A job that is no longer running then
-- was settled in between, and one that is not lost any more runs elsewhere by now:
-- both are left alone. 'skip locked': who holds the lock is settling it, or is another
-- reaper; what it leaves behind is found the next time.
create or replace function public.loom_requeue_jobs(p_jobs bigint[], p_why text)
  returns integer
  language plpgsql
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
declare
  v_now      timestamptz := clock_timestamp();
  v_requeued integer;
  v_finished bigint[];
begin
  if p_jobs = '{}' then
    return 0;
  end if;
  perform public.loom_lock_runs(p_jobs);

  with lost as materialized (
    select id, claimed_by, fence, cancel_requested_at is not null as is_cancelled, crash_restarts >= max_crash_restarts as is_over
      from public.loom_job_queue as job
     where id = any(p_jobs) and state = 'running'
       and (deadline_at <= v_now
            or not exists (select from public.loom_node_sessions as session
                            where session.node = job.claimed_by and session.epoch = job.epoch and not session.dead))
     order by id
       for no key update skip locked
  ),
  given_back as (
    update public.loom_job_queue as job
       set state          = case when lost.is_cancelled then 'cancelled'
                                 when lost.is_over then 'failed'
                                 when job.host_pinned then 'pending'
                                 else 'waiting' end,
           finished_at    = case when lost.is_cancelled or lost.is_over then v_now end,
           error          = case when lost.is_over and not lost.is_cancelled then
                              json_build_object('name', 'NodeLostError', 'code', 'NODE_LOST', 'message', format(
                                'the step was lost with its node %s times, the last time on %s: %s',
                                job.crash_restarts + 1, job.claimed_by, p_why))::text
                               else job.error end,
           attempt        = job.attempt - 1,
           crash_restarts = job.crash_restarts + case when lost.is_over then 0 else 1 end,
           crashed_on     = array_append(job.crashed_on, lost.claimed_by),
           start_by       = null,
           target_host    = case when job.host_pinned or lost.is_cancelled or lost.is_over then job.target_host end,
           run_at         = v_now,
           claimed_by     = null, epoch = null, claim_seq = null, deadline_at = null
      from lost
     where job.id = lost.id
    returning job.id, job.run_id, job.state, job.finished_at, lost.claimed_by, job.fence
  ),
  event as (
    insert into public.loom_events (type, run_id, job_id, state, node, fence, detail)
    select 'job.requeued', run_id, id, state, claimed_by, fence, p_why from given_back
  )
  select count(*), coalesce(array_agg(id order by id) filter (where finished_at is not null), '{}')
    into v_requeued, v_finished
    from given_back;

  perform public.loom_advance_runs(v_finished);
  return v_requeued;
end $$;

revoke all on function public.loom_requeue_jobs from public, anon, authenticated, service_role;
