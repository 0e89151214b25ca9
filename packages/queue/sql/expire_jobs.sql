-- Fails jobs that were not started while they were worth starting.
--
-- A transaction of its own, apart from reaping: each locks jobs once. Runs first, then jobs, as everywhere; a job that is locked is being claimed or
-- placed at this moment, and is looked at again the next time.
create or replace function public.loom_expire_jobs(p_limit integer default 500)
  returns json
  language plpgsql
  security definer
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
as $$
declare
  v_now     timestamptz := clock_timestamp();
  v_late    bigint[] := array(
    select id from public.loom_job_queue
     where start_by is not null and state in ('waiting', 'pending') and start_by <= v_now
     order by start_by limit p_limit);
  v_expired bigint[];
begin
  if v_late = '{}' then
    return json_build_object('expired', 0);
  end if;
  perform public.loom_lock_runs(v_late);
  with late as materialized (
    select id from public.loom_job_queue
     where id = any(v_late) and state in ('waiting', 'pending') and start_by <= v_now
     order by id
       for no key update skip locked
  ),
  expired as (
    update public.loom_job_queue as job
       set state            = 'failed',
           finished_at      = v_now,
           offer_expires_at = null,
           error            = json_build_object('name', 'ExpiredError', 'code', 'EXPIRED', 'message',
                                format('it was not started within %s ms', job.start_within_ms))::text
      from late
     where job.id = late.id
    returning job.id, job.run_id
  ),
  event as (
    insert into public.loom_events (type, run_id, job_id, state)
    select 'job.expired', run_id, id, 'failed' from expired
  )
  select coalesce(array_agg(id), '{}') into v_expired from expired;
  perform public.loom_advance_runs(v_expired);
  return json_build_object('expired', cardinality(v_expired));
end $$;

revoke all on function public.loom_expire_jobs from public, anon, authenticated, service_role;
grant execute on function public.loom_expire_jobs to service_role;
