-- Makes the schedules those that the leading hub's workflows define. What is left out
-- is removed: it starts nothing any more, and keeps its slots.
--
-- A change goes on from the same decided_until, so that no moment is passed over. What
-- comes back after it was removed begins anew: nobody missed it meanwhile.
--
-- It writes rows that it is given and rows that it is not, so two copies of a call with
-- different lists would wait for each other in turn, whatever the order within either:
-- the table's lock lets one after the other. It is exclusive because a decision first
-- locks its schedule and then writes it: with a weaker lock that decision would wait
-- for the table, and this for the schedule. Readers wait for neither.
--
-- p_schedules: [{"id", "workflow", "expression", "time_zone", "input" (JSON text),
-- "overlap", "missed", "grace_ms"}, …]
create or replace function public.loom_sync_schedules(p_schedules json, p_epoch bigint)
  returns json
  language plpgsql
  security definer
  set search_path = ''
  set lock_timeout = '5s'
as $$
begin
  if json_typeof(p_schedules) is distinct from 'array' or json_array_length(p_schedules) > 10000 then
    raise exception 'schedules are a list of at most 10000'
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'one of a workflow';
  end if;
  if not public.loom_is_leader(p_epoch) then
    return json_build_object('answer', 'deposed');
  end if;
  lock table public.loom_schedules in exclusive mode;

  insert into public.loom_schedules as schedule
    (id, workflow_id, expression, time_zone, input, overlap, missed, grace_ms)
  select id, workflow, expression, time_zone, input, overlap, missed, grace_ms
    from json_to_recordset(p_schedules) as given(
           id text, workflow text, expression text, time_zone text, input text, overlap text, missed jsonb, grace_ms integer)
   order by id
  on conflict (id) do update
     set workflow_id   = excluded.workflow_id,
         expression    = excluded.expression,
         time_zone     = excluded.time_zone,
         input         = excluded.input,
         overlap       = excluded.overlap,
         missed        = excluded.missed,
         grace_ms      = excluded.grace_ms,
         decided_until = case when schedule.removed_at is null then schedule.decided_until else clock_timestamp() end,
         removed_at    = null,
         revision      = schedule.revision + 1
   where schedule.removed_at is not null
      or (schedule.workflow_id, schedule.expression, schedule.time_zone, schedule.input,
          schedule.overlap, schedule.missed, schedule.grace_ms)
         is distinct from
         (excluded.workflow_id, excluded.expression, excluded.time_zone, excluded.input,
          excluded.overlap, excluded.missed, excluded.grace_ms);

  update public.loom_schedules
     set removed_at = clock_timestamp(), revision = revision + 1
   where removed_at is null
     and id not in (select id from json_to_recordset(p_schedules) as given(id text));
  return json_build_object('answer', 'written');
end $$;

revoke all on function public.loom_sync_schedules from public, anon, authenticated, service_role;
grant execute on function public.loom_sync_schedules to service_role;
