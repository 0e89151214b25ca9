-- Locks the given jobs, after their runs, both by id.
--
-- In a statement before the one that writes. A statement that does both, and has to
-- wait for a lock, makes its new row from the old version first and has the table's
-- constraints look at that, before Postgres notices the newer version and begins anew:
-- a cancel that met a claim, or a salvage that met the reaper, failed as a whole. The
-- statement after this one sees what those who were waited for have written.
create or replace function public.loom_lock_jobs(p_jobs bigint[])
  returns void
  language plpgsql
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
begin
  perform public.loom_lock_runs(p_jobs);
  perform from public.loom_job_queue
    where id = any(p_jobs)
    order by id
      for no key update;
end $$;

revoke all on function public.loom_lock_jobs from public, anon, authenticated, service_role;
