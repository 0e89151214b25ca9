-- Every schedule, by id, with all that deciding its slots depends on, as of now.
create or replace function public.loom_list_schedules()
  returns json
  language sql
  stable
  security definer
  set search_path = ''
as $$
  select json_build_object('now', clock_timestamp(), 'schedules', (
    select coalesce(json_agg(json_build_object(
             'id', schedule.id, 'workflow_id', schedule.workflow_id, 'expression', schedule.expression,
             'time_zone', schedule.time_zone, 'input', schedule.input, 'overlap', schedule.overlap,
             'missed', schedule.missed, 'grace_ms', schedule.grace_ms, 'paused_at', schedule.paused_at,
             'pause_note', schedule.pause_note, 'decided_until', schedule.decided_until,
             'revision', schedule.revision, 'created_at', schedule.created_at, 'removed_at', schedule.removed_at,
             'running', exists (select from public.loom_runs as run
                                 where run.schedule_id = schedule.id and run.status = 'running'),
             'queued', (select id from public.loom_schedule_slots as slot
                         where slot.schedule_id = schedule.id and slot.queued),
             'last_slot', (select public.loom_describe_slot(slot) from public.loom_schedule_slots as slot
                            where slot.schedule_id = schedule.id order by slot_at desc limit 1))
             order by schedule.id), '[]')
      from public.loom_schedules as schedule));
$$;

revoke all on function public.loom_list_schedules from public, anon, authenticated, service_role;
grant execute on function public.loom_list_schedules to service_role;
