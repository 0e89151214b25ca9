-- Writes what the leading hub decided of a schedule's due slots: each slot's row, the
-- run of those that start now with all its steps, and until when slots are decided.
-- All of it or nothing.
--
-- The decision was made outside of this transaction, so it is taken only when nothing
-- that it depends on has changed: the schedule is still at p_revision, and nobody took
-- the lead over. (That a run ended meanwhile changes no revision: the decision then
-- counts as made before it did.) A run is started by whoever inserts the slot's row,
-- and its key is the slot, so a slot has one run at most.
--
-- Two hubs with one decision: the schedule's lock lets one after the other, and the
-- second finds another revision. The same hub again, after a lost answer: the same.
--
-- p_slots: [{"id", "at", "outcome", "start": "now" | "after-running", "into", "code", "reason"}, …]
create or replace function public.loom_decide_slots(
  p_schedule      text,
  p_revision      bigint,
  p_epoch         bigint,
  p_slots         json,
  p_decided_until timestamptz,
  p_plan          json default null
)
  returns json
  language plpgsql
  security definer
  set search_path = ''
  set lock_timeout = '5s'
as $$
declare
  v_schedule public.loom_schedules;
  v_slot     record;
  v_started  uuid[] := '{}';
  v_run      uuid;
begin
  if json_typeof(p_slots) is distinct from 'array' or json_array_length(p_slots) > 1000
     or p_decided_until is null or p_decided_until > clock_timestamp() then
    raise exception 'slots are a list of at most 1000, decided until a moment that has come'
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'decide in batches, by the time of loom_list_schedules';
  end if;
  if not public.loom_is_leader(p_epoch) then
    return json_build_object('answer', 'deposed', 'started', '[]'::json);
  end if;
  select * into v_schedule from public.loom_schedules where id = p_schedule for no key update;
  if v_schedule.revision is distinct from p_revision or v_schedule.removed_at is not null then
    return json_build_object('answer', 'changed', 'started', '[]'::json);
  end if;

  for v_slot in
    select * from json_to_recordset(p_slots) as given(
             id text, at timestamptz, outcome text, start text, "into" text, code text, reason text)
     order by at
  loop
    -- Callers know milliseconds. A row that was pruned must not come a second time.
    if not (v_slot.at > date_trunc('milliseconds', v_schedule.decided_until) and v_slot.at <= p_decided_until) then
      raise exception 'slot % is not between what was decided and what is', left(v_slot.id, 100)
        using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'decide from the schedule''s decided_until';
    end if;
    insert into public.loom_schedule_slots (id, schedule_id, slot_at, outcome, queued, merged_into, code, reason)
    values (v_slot.id, p_schedule, v_slot.at, v_slot.outcome, coalesce(v_slot.start = 'after-running', false),
            v_slot."into", v_slot.code, left(v_slot.reason, 2000))
    on conflict (id) do nothing;
    if found and v_slot.start = 'now' then
      v_run := public.loom_start_scheduled_run(v_schedule, p_plan, 'schedule', v_slot.id, null);
      update public.loom_schedule_slots set run_id = v_run where id = v_slot.id;
      v_started := v_started || v_run;
    end if;
  end loop;

  update public.loom_schedules
     set decided_until = greatest(decided_until, p_decided_until), revision = revision + 1
   where id = p_schedule;
  return json_build_object('answer', 'written', 'started', to_json(v_started));
end $$;

revoke all on function public.loom_decide_slots from public, anon, authenticated, service_role;
grant execute on function public.loom_decide_slots to service_role;
