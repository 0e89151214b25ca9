-- Starts a run of a schedule now, because somebody asked for it: paused or not, whether
-- another goes on or not. It counts as the schedule's for what comes due meanwhile. Null
-- when there is no such schedule.
create or replace function public.loom_trigger_schedule(p_schedule text, p_plan json, p_asked_by text default null)
  returns json
  language plpgsql
  security definer
  set search_path = ''
  set lock_timeout = '5s'
as $$
declare
  v_schedule public.loom_schedules;
  v_run      uuid;
begin
  select * into v_schedule from public.loom_schedules where id = p_schedule for no key update;
  if not found then
    return null;
  end if;
  if v_schedule.removed_at is not null then
    raise exception 'no workflow has the schedule % any more', p_schedule
      using errcode = 'PT409', detail = 'SCHEDULE_REMOVED', hint = 'start a run of the workflow';
  end if;
  v_run := public.loom_start_scheduled_run(v_schedule, p_plan, 'manual', null, p_asked_by);
  update public.loom_schedules set revision = revision + 1 where id = p_schedule;
  return json_build_object('run_id', v_run, 'returned', 'created');
end $$;

revoke all on function public.loom_trigger_schedule from public, anon, authenticated, service_role;
grant execute on function public.loom_trigger_schedule to service_role;
