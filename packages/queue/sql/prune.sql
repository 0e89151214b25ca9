-- Removes what has been finished for longer than p_keep_days: at most p_limit runs
-- (with their jobs and logs), jobs without a run, slots of schedules, and events. A
-- removed schedule goes with its last slot. Call it again while it says that there is
-- more.
create or replace function public.loom_prune(p_keep_days integer default 30, p_limit integer default 500)
  returns json
  language plpgsql
  security definer
  set search_path = ''
as $$
declare
  v_before timestamptz := clock_timestamp() - make_interval(days => p_keep_days);
  v_runs   integer;
  v_jobs   integer;
  v_slots  integer;
  v_events integer;
begin
  -- Postgres itself minds a negative limit only where its plan comes to it, and none at all with 0:
  -- then there would always be more.
  if p_keep_days is null or p_keep_days < 0 or p_limit is null or p_limit not between 1 and 10000 then
    raise exception 'keep 0 or more days, and remove 1 to 10000 at once'
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'the defaults are 30 and 500';
  end if;

  with old as materialized (
    select id from public.loom_runs
     where finished_at is not null and finished_at < v_before
     order by finished_at limit p_limit
       for update skip locked
  )
  delete from public.loom_runs as run using old where run.id = old.id;
  get diagnostics v_runs = row_count;

  with old as materialized (
    select id from public.loom_job_queue
     where run_id is null and finished_at is not null and finished_at < v_before
     order by finished_at limit p_limit
       for update skip locked
  )
  delete from public.loom_job_queue as job using old where job.id = old.id;
  get diagnostics v_jobs = row_count;

  with old as materialized (
    select id from public.loom_schedule_slots
     where slot_at < v_before and not queued
     order by slot_at limit p_limit
       for update skip locked
  )
  delete from public.loom_schedule_slots as slot using old where slot.id = old.id;
  get diagnostics v_slots = row_count;
  delete from public.loom_schedules as schedule
   where removed_at < v_before
     and not exists (select from public.loom_schedule_slots where schedule_id = schedule.id);

  -- In the order in which they were written; the first that is young enough ends it.
  with old as materialized (
    select xid, id from (select xid, id, at from public.loom_events order by xid, id limit p_limit) as first
     where at < v_before
  )
  delete from public.loom_events as event using old where event.xid = old.xid and event.id = old.id;
  get diagnostics v_events = row_count;

  return json_build_object('runs', v_runs, 'jobs', v_jobs, 'slots', v_slots, 'events', v_events,
                           'more', greatest(v_runs, v_jobs, v_slots, v_events) >= p_limit);
end $$;

revoke all on function public.loom_prune from public, anon, authenticated, service_role;
grant execute on function public.loom_prune to service_role;
