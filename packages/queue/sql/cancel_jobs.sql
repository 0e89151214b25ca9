-- Cancels jobs: one that nobody runs at once, a running one by asking its node,
-- which learns of it with its next heartbeat. A finished job stays as it is.
--
-- Answers for each: cancelled, requested, finished or unknown. Waits for the locks
-- of runs and jobs, in that order and by id, like a settle. A settle that comes first
-- leaves a finished job; one that comes second finds the request, and a success still
-- counts while a failure becomes cancelled.
create or replace function public.loom_cancel_jobs(p_jobs bigint[])
  returns json
  language plpgsql
  security definer
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
  set lock_timeout = '5s'
as $$
declare
  v_now       timestamptz := clock_timestamp();
  v_cancelled bigint[];
  v_requested bigint[];
begin
  if cardinality(p_jobs) > 10000 then
    raise exception 'cancel at most 10000 jobs at once'
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'cancel the run instead';
  end if;
  perform public.loom_lock_jobs(p_jobs);

  with open as materialized (
    select id, state, cancel_requested_at is not null as is_repeated from public.loom_job_queue
     where id = any(p_jobs) and finished_at is null
  ),
  written as (
    update public.loom_job_queue as job
       set cancel_requested_at = coalesce(job.cancel_requested_at, v_now),
           state               = case when open.state = 'running' then 'running' else 'cancelled' end,
           finished_at         = case when open.state = 'running' then null else v_now end,
           offer_expires_at    = null
      from open
     where job.id = open.id
    returning job.id, job.run_id, job.state, job.ran_on, job.fence, open.is_repeated
  ),
  event as (
    insert into public.loom_events (type, run_id, job_id, state, node, fence)
    select case when state = 'running' then 'job.cancel_requested' else 'job.cancelled' end,
           run_id, id, state, case when state = 'running' then ran_on end, fence
      from written
     where not (state = 'running' and is_repeated)
  )
  select coalesce(array_agg(id) filter (where state = 'cancelled'), '{}'),
         coalesce(array_agg(id) filter (where state = 'running'), '{}')
    into v_cancelled, v_requested
    from written;
  perform public.loom_advance_runs(v_cancelled);

  return (
    select coalesce(json_agg(json_build_object('id', wanted.id, 'answer',
             case when wanted.id = any(v_cancelled) then 'cancelled'
                  when wanted.id = any(v_requested) then 'requested'
                  when job.id is null then 'unknown'
                  else 'finished' end) order by ord), '[]')
      from unnest(p_jobs) with ordinality as wanted(id, ord)
      left join public.loom_job_queue as job on job.id = wanted.id);
end $$;

revoke all on function public.loom_cancel_jobs from public, anon, authenticated, service_role;
grant execute on function public.loom_cancel_jobs to service_role;
