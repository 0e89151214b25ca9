-- Returns a slot as the API shows it.
create or replace function public.loom_describe_slot(p_slot public.loom_schedule_slots)
  returns json
  language sql
  stable
  set search_path = ''
as $$
  select json_build_object(
    'id', p_slot.id, 'slot_at', p_slot.slot_at, 'decision', p_slot.decision, 'queued', p_slot.queued,
    'run_id', p_slot.run_id, 'merged_into', p_slot.merged_into, 'code', p_slot.code, 'reason', p_slot.reason,
    'decided_at', p_slot.decided_at);
$$;

-- Lists every schedule by id, with all current facts that a decision about its slots
-- depends on.
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

-- Lists the slots of a schedule, newest first. p_after is the `next` of an earlier
-- answer. Null if the schedule does not exist.
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

-- Replaces the schedules by those that the leading hub's workflows define. A schedule
-- that is left out is removed: it starts nothing any more, and keeps its slots.
--
-- A changed schedule keeps its decided_until, so that no slot is skipped. A schedule
-- that returns after its removal starts from now: its slots in between do not count as
-- missed.
--
-- The call writes rows that the list names and rows that it does not. So two calls with
-- different lists would deadlock in any row order, and the table's lock orders them.
-- The lock is exclusive because a decision first locks its schedule and then writes it.
-- With a weaker lock, the decision would wait for the table, and this call for the
-- schedule. Readers wait for neither.
--
-- A schedule that the table refuses stays as it was, and the answer names it.
--
-- p_schedules: [{"id", "workflow", "expression", "time_zone", "input" (JSON text),
--                "overlap", "missed", "grace_ms"}, …]
create or replace function public.loom_sync_schedules(p_schedules json, p_epoch bigint)
  returns json
  language plpgsql
  security definer
  set search_path = ''
  set lock_timeout = '5s'
as $$
declare
  v_item    json;
  v_id      text;
  v_given   text[] := '{}';
  v_refused json[] := '{}';
begin
  if json_typeof(p_schedules) is distinct from 'array' or json_array_length(p_schedules) > 10000 then
    raise exception 'schedules are a list of at most 10000'
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'define one schedule a workflow';
  end if;
  if not public.loom_is_leader(p_epoch) then
    return json_build_object('answer', 'deposed', 'refused', '[]'::json);
  end if;
  lock table public.loom_schedules in exclusive mode;

  for v_item in select value from json_array_elements(p_schedules) loop
    v_id := null;
    begin
      v_id := v_item ->> 'id';
      insert into public.loom_schedules as schedule
        (id, workflow_id, expression, time_zone, input, overlap, missed, grace_ms)
      select id, workflow, expression, time_zone, input, overlap, missed, grace_ms
        from json_to_record(v_item) as given(
               id text, workflow text, expression text, time_zone text, input text, overlap text, missed jsonb, grace_ms integer)
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
    exception when data_exception or integrity_constraint_violation or program_limit_exceeded then
      v_refused := v_refused || json_build_object('id', coalesce(v_id, ''), 'reason', sqlerrm);
      insert into public.loom_event_batches (type, detail)
      values ('schedule.refused', left(format('%s: %s', coalesce(v_id, ''), sqlerrm), 2000));
    end;
    if v_id is not null then
      v_given := v_given || v_id;
    end if;
  end loop;

  update public.loom_schedules
     set removed_at = clock_timestamp(), revision = revision + 1
   where removed_at is null and id <> all (v_given);
  return json_build_object('answer', 'written', 'refused', to_json(v_refused));
end $$;

-- Pauses or resumes a schedule. Slots that fall in a pause start nothing; running runs
-- go on. Pausing again changes the note. Null if the schedule does not exist.
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
    raise exception 'paused must be true or false'
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
    insert into public.loom_event_batches (type, detail)
    values (case when p_paused then 'schedule.paused' else 'schedule.resumed' end, p_schedule);
  end if;
  return json_build_object('paused', p_paused);
end $$;

-- Lets a schedule continue from now when its slots are decided until a future time. The
-- clock was ahead when they were decided, and was set back since. Until that time, the
-- schedule would start nothing.
--
-- Future slots without a run are deleted, so that they are decided when they are due. A
-- slot that has its run keeps it and does not get a second one.
--
-- Interleavings: two hubs, or a hub and a decision. The schedule's lock orders them,
-- and the second finds another revision.
create or replace function public.loom_rewind_schedule(p_schedule text, p_revision bigint, p_epoch bigint)
  returns json
  language plpgsql
  security definer
  set search_path = ''
  set lock_timeout = '5s'
as $$
declare
  v_now      timestamptz := clock_timestamp();
  v_schedule public.loom_schedules;
begin
  if not public.loom_is_leader(p_epoch) then
    return json_build_object('answer', 'deposed');
  end if;
  select * into v_schedule from public.loom_schedules where id = p_schedule for no key update;
  if v_schedule.revision is distinct from p_revision or v_schedule.decided_until <= v_now then
    return json_build_object('answer', 'changed');
  end if;

  delete from public.loom_schedule_slots
   where schedule_id = p_schedule and slot_at > v_now and run_id is null and not queued;
  update public.loom_schedules set decided_until = v_now, revision = revision + 1 where id = p_schedule;
  insert into public.loom_event_batches (type, detail) values ('schedule.rewound', p_schedule);
  return json_build_object('answer', 'rewound');
end $$;
