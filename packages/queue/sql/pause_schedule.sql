-- Pauses or resumes a schedule: its slots come and go, and start nothing meanwhile. What
-- runs goes on. Pausing again changes the note. Null when there is no such schedule.
create or replace function public.loom_pause_schedule(p_schedule text, p_paused boolean, p_note text default null)
  returns json
  language plpgsql
  security definer
  set search_path = ''
  set lock_timeout = '5s'
as $$
declare
  v_paused_at timestamptz;
begin
  if p_paused is null then
    raise exception 'a schedule is to be paused or not'
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'pass true or false';
  end if;
  select paused_at into v_paused_at from public.loom_schedules where id = p_schedule for no key update;
  if not found then
    return null;
  end if;
  update public.loom_schedules
     set paused_at  = case when p_paused then coalesce(paused_at, clock_timestamp()) end,
         pause_note = case when p_paused then p_note end,
         revision   = revision + 1
   where id = p_schedule;
  if p_paused or v_paused_at is not null then
    insert into public.loom_events (type, detail)
    values (case when p_paused then 'schedule.paused' else 'schedule.resumed' end, p_schedule);
  end if;
  return json_build_object('paused', p_paused);
end $$;

revoke all on function public.loom_pause_schedule from public, anon, authenticated, service_role;
grant execute on function public.loom_pause_schedule to service_role;
