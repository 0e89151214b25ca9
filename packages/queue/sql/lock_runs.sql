-- Locks the runs of the given jobs, by id.
--
-- Whoever may finish a job takes this lock before any job's: the steps of one run
-- are then advanced one transaction after the other, so that the last two of them
-- cannot each take the other for unfinished, and no two transactions ever wait for
-- each other's jobs.
create or replace function public.loom_lock_runs(p_jobs bigint[])
  returns void
  language plpgsql
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
as $$
begin
  -- An array, not 'in': as a join it was planned, while there were few runs, as one that
  -- reads them all.
  perform from public.loom_runs
    where id = any(array(select run_id from public.loom_job_queue
                          where id = any(p_jobs) and run_id is not null))
    order by id
      for no key update;
end $$;

revoke all on function public.loom_lock_runs from public, anon, authenticated, service_role;
