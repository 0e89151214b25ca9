-- Starts the run of the slot that waits for the end of its schedule's unfinished run, if
-- that has come. A paused or removed schedule goes on waiting.
--
-- Called twice, the second finds the first's run unfinished, and no slot that waits.
create or replace function public.loom_start_queued_slot(p_schedule text, p_epoch bigint, p_plan json)
  returns json
  language plpgsql
  security definer
  set search_path = ''
  set lock_timeout = '5s'
as $$
declare
  v_schedule public.loom_schedules;
  v_slot     text;
  v_run      uuid;
begin
  if not public.loom_is_leader(p_epoch) then
    return json_build_object('answer', 'deposed');
  end if;
  select * into v_schedule from public.loom_schedules
   where id = p_schedule and paused_at is null and removed_at is null
     for no key update;
  if found and not exists (select from public.loom_runs where schedule_id = p_schedule and status = 'running') then
    select id into v_slot from public.loom_schedule_slots where schedule_id = p_schedule and queued;
  end if;
  if v_slot is null then
    return json_build_object('answer', 'waiting');
  end if;

  v_run := public.loom_start_scheduled_run(v_schedule, p_plan, 'schedule', v_slot, null);
  update public.loom_schedule_slots set queued = false, run_id = v_run where id = v_slot;
  update public.loom_schedules set revision = revision + 1 where id = p_schedule;
  return json_build_object('answer', 'started', 'run_id', v_run);
end $$;

revoke all on function public.loom_start_queued_slot from public, anon, authenticated, service_role;
grant execute on function public.loom_start_queued_slot to service_role;
