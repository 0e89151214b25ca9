-- Slots of a schedule, newest first. p_after is the next of an answer. Null when there is
-- no such schedule.
create or replace function public.loom_list_slots(
  p_schedule text,
  p_after    timestamptz default null,
  p_limit    integer default 50
)
  returns json
  language sql
  stable
  security definer
  set search_path = ''
as $$
  with page as materialized (
    select * from public.loom_schedule_slots
     where schedule_id = p_schedule and slot_at < coalesce(p_after, 'infinity')
     order by slot_at desc
     limit least(greatest(p_limit, 1), 500)
  )
  select json_build_object(
           'slots', (select coalesce(json_agg(public.loom_describe_slot(slot) order by slot_at desc), '[]')
                       from page as slot),
           'next', (select slot_at from page order by slot_at desc
                     offset least(greatest(p_limit, 1), 500) - 1 limit 1))
    from public.loom_schedules where id = p_schedule;
$$;

revoke all on function public.loom_list_slots from public, anon, authenticated, service_role;
grant execute on function public.loom_list_slots to service_role;
