-- Writes the leading hub's decision about a schedule's due slots: each slot's row, the
-- runs that start now with all their steps, and the time until which slots are decided.
-- It writes all of it or nothing.
--
-- The decision was made outside this transaction. It is accepted only if nothing that
-- it depends on has changed: the schedule is still at p_revision, and no other hub took
-- over the lead. (A run that ended meanwhile does not change the revision: the decision
-- then counts as made before the end.) Inserting the slot's row decides who starts the
-- run, and the run's key is the slot, so a slot has at most one run.
--
-- Two hubs with one decision, or one hub again after a lost answer: the schedule's lock
-- orders them, and the second finds another revision.
--
-- p_slots: [{"id", "at", "decision", "start": "now" | "after-running", "into", "code", "reason"}, …]
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
  v_missed   text[] := '{}';
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
             id text, at timestamptz, decision text, start text, "into" text, code text, reason text)
     order by at
  loop
    -- Callers know only milliseconds. A row that was pruned must not be created again.
    if not (v_slot.at > date_trunc('milliseconds', v_schedule.decided_until) and v_slot.at <= p_decided_until) then
      raise exception 'a slot is outside the time that this call decides'
        using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'decide from the schedule''s decided_until';
    end if;
    insert into public.loom_schedule_slots (id, schedule_id, slot_at, decision, queued, merged_into, code, reason)
    values (v_slot.id, p_schedule, v_slot.at, v_slot.decision, coalesce(v_slot.start = 'after-running', false),
            v_slot."into", v_slot.code, left(v_slot.reason, public.loom_limit('note_length')::integer))
    on conflict (id) do nothing;
    if found and v_slot.start = 'now' then
      v_run := public.loom_start_scheduled_run(v_schedule, p_plan, 'schedule', v_slot.id, null);
      update public.loom_schedule_slots set run_id = v_run where id = v_slot.id;
      v_started := v_started || v_run;
    elsif found and (v_slot.decision = 'missed' or v_slot.code = 'plan_failed') then
      v_missed := v_missed || v_slot.id;
    end if;
  end loop;
  perform public.loom_note_missed(v_schedule, v_missed);

  update public.loom_schedules
     set decided_until = greatest(decided_until, p_decided_until), revision = revision + 1
   where id = p_schedule;
  return json_build_object('answer', 'written', 'started', to_json(v_started));
end $$;

-- Starts the run of the slot that waits for its schedule's unfinished run, if that run
-- has ended. A paused or removed schedule keeps waiting.
--
-- With p_failure in place of a plan (the run cannot be planned or stored), the slot is
-- skipped with the reason. Otherwise it would wait for ever and block all later slots.
--
-- A second call finds the first's run unfinished, and no waiting slot.
create or replace function public.loom_start_queued_slot(
  p_schedule text,
  p_epoch    bigint,
  p_plan     json,
  p_failure  text default null
)
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

  if p_failure is not null then
    update public.loom_schedule_slots
       set queued = false, decision = 'skipped', code = 'plan_failed', reason = left(p_failure, 2000)
     where id = v_slot;
    perform public.loom_note_missed(v_schedule, array[v_slot]);
    update public.loom_schedules set revision = revision + 1 where id = p_schedule;
    return json_build_object('answer', 'skipped');
  end if;

  v_run := public.loom_start_scheduled_run(v_schedule, p_plan, 'schedule', v_slot, null);
  update public.loom_schedule_slots set queued = false, run_id = v_run where id = v_slot;
  update public.loom_schedules set revision = revision + 1 where id = p_schedule;
  return json_build_object('answer', 'started', 'run_id', v_run);
end $$;

-- Starts a run of a schedule. The caller holds the schedule's row. p_plan, as for
-- loom_start_run: {"version", "input" (JSON text), "jobs"}
create or replace function public.loom_start_scheduled_run(
  p_schedule public.loom_schedules,
  p_plan     json,
  p_trigger  text,
  p_key      text,
  p_asked_by text
)
  returns uuid
  language plpgsql
  set search_path = ''
as $$
declare
  v_run uuid;
begin
  v_run := public.loom_start_run(
    p_workflow => p_schedule.workflow_id, p_version => p_plan ->> 'version', p_input => p_plan ->> 'input',
    p_raw_input => p_plan ->> 'raw_input',
    p_jobs => p_plan -> 'jobs', p_trigger => p_trigger, p_key => p_key, p_asked_by => p_asked_by) ->> 'run_id';
  update public.loom_runs set schedule_id = p_schedule.id where id = v_run;
  return v_run;
end $$;

-- Starts a run of a schedule now, at a person's request, even if the schedule is paused
-- or another of its runs goes on. The run counts as the schedule's unfinished run for
-- slots that come due. Null if the schedule does not exist.
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
    raise exception 'no workflow defines this schedule any more'
      using errcode = 'PT409', detail = 'SCHEDULE_REMOVED', hint = 'start a run of the workflow';
  end if;
  v_run := public.loom_start_scheduled_run(v_schedule, p_plan, 'manual', null, p_asked_by);
  update public.loom_schedules set revision = revision + 1 where id = p_schedule;
  return json_build_object('run_id', v_run, 'returned', 'created');
end $$;
