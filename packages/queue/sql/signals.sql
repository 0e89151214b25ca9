-- Signals: a text and a key from outside that steps wait for. Each goes to every step that waits for it when it comes. If
-- there is none, it is kept for the next one that does. So a step gets one signal, and a signal that was kept goes to one step.
-- The interleavings are in waits.sql.

-- Sends a signal: {"id", "waiting", "keys"}. waiting: how many steps wait for it now, 1000 at most. keys: for which keys
-- of the event steps wait, five at most. p_payload is JSON.
create or replace function public.loom_send_signal(
  p_event text, p_key text, p_payload text, p_sent_by text default null
)
  returns json
  language plpgsql
  security definer
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
  set lock_timeout = '5s'
as $$
declare
  v_key     text := coalesce(p_key, '');
  v_waiting integer;
  v_id      bigint;
begin
  if p_event is null or p_event !~ '^[a-z0-9][a-z0-9._-]{0,99}$' or length(v_key) > public.loom_limit('key_length')
     or not coalesce(public.loom_is_json(p_payload), false) then
    raise exception 'a signal has an event of 1 to 100 of a-z, 0-9, dot, underscore and hyphen, a key of at most % characters, and JSON',
      public.loom_limit('key_length')
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'check what is sent';
  end if;
  if octet_length(p_payload) > public.loom_limit('input_bytes') then
    raise exception 'the data of a signal holds at most % bytes as JSON', public.loom_limit('input_bytes')
      using errcode = 'PT413', detail = 'INPUT_TOO_LARGE', hint = 'store the data elsewhere and send a reference';
  end if;
  perform public.loom_drop_signals(20);
  select count(*) into v_waiting
    from (select from public.loom_suspended where event = p_event and key = v_key limit 1000) as waiting;
  if v_waiting = 0 and (
       (select count(*) from (select from public.loom_signals where event = p_event
                               limit public.loom_limit('signals_of_event')) as kept) >= public.loom_limit('signals_of_event')
       or (select count(*) from (select from public.loom_signals limit public.loom_limit('signals')) as kept)
          >= public.loom_limit('signals')) then
    raise exception 'nobody waits for the signal, and as many signals as may be kept are kept: % of an event, % in all',
      public.loom_limit('signals_of_event'), public.loom_limit('signals')
      using errcode = 'PT409', detail = 'SIGNALS_FULL', hint = 'send it again when a step waits for it';
  end if;
  insert into public.loom_signals (event, key, payload, sent_by)
  values (p_event, v_key, p_payload, left(p_sent_by, 300))
  returning id into v_id;
  return json_build_object(
    'id', v_id, 'waiting', v_waiting,
    'keys', (select coalesce(json_agg(key order by key), '[]') from (
               select distinct key from (
                 select key from public.loom_suspended where event = p_event limit 1000) as first
                order by key limit 5) as keys));
end $$;

-- Removes signals that nobody has waited for in time, oldest first.
create or replace function public.loom_drop_signals(p_limit integer)
  returns void
  language sql
  set search_path = ''
  set enable_seqscan = off
as $$
  with old as materialized (
    select id from public.loom_signals
     where sent_at < now() - public.loom_limit('signal_keep_ms') * interval '1 millisecond'
     order by sent_at limit p_limit
       for update skip locked
  )
  delete from public.loom_signals as signal where signal.id = any(array(select id from old));
$$;

-- Takes the oldest signal that is kept and that was sent before p_before; null if there is none.
create or replace function public.loom_take_signal(p_event text, p_key text, p_before timestamptz)
  returns text
  language sql
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
as $$
  delete from public.loom_signals
   where id = (select id from public.loom_signals
                where event = p_event and key = p_key and sent_at <= coalesce(p_before, 'infinity')
                  and sent_at > clock_timestamp() - public.loom_limit('signal_keep_ms') * interval '1 millisecond'
                order by id limit 1
                  for update skip locked)
  returning payload;
$$;

-- The steps that wait for a signal, at most p_limit. A wait that had ended before the signal was sent is left to its timeout.
create or replace function public.loom_waiting_for(p_signal bigint, p_limit integer)
  returns bigint[]
  language sql
  stable
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
  select array(
    select suspended.job_id
      from public.loom_signals as signal
     cross join lateral (
       select job_id from public.loom_suspended
        where event = signal.event and key = signal.key and coalesce(ends_at >= signal.sent_at, true)
        order by job_id limit p_limit) as suspended
     where signal.id = p_signal);
$$;

-- Gives a new signal to those of p_jobs that wait for it; the caller holds their locks. If others wait for it too, it stays
-- new. Returns how many waits have ended.
create or replace function public.loom_deliver_signal(p_signal bigint, p_jobs bigint[])
  returns integer
  language plpgsql
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
declare
  v_payload text;
  v_is_used boolean;
  v_wait    record;
  v_ends    json[] := '{}';
  v_given   integer := 0;
  v_ended   integer;
begin
  select payload, is_used into v_payload, v_is_used from public.loom_signals where id = p_signal and is_new;
  if not found then
    return 0;
  end if;
  -- Read under the locks.
  for v_wait in
    select job.id, spec.wait
      from unnest(public.loom_waiting_for(p_signal, cardinality(p_jobs) + 1)) as waiting(id)
     cross join lateral (select id, spec from public.loom_jobs where id = waiting.id and state = 'suspended' offset 0) as job
     cross join lateral (select wait from public.loom_job_specs where id = job.spec offset 0) as spec
     where job.id = any(p_jobs)
     order by job.id
  loop
    v_given := v_given + 1;
    v_ends := v_ends || public.loom_receive(v_wait.id, v_wait.wait, v_payload);
  end loop;
  v_ended := public.loom_finish_waits(v_ends);
  if not public.loom_waiting_for(p_signal, cardinality(p_jobs) + 1) <@ p_jobs then
    update public.loom_signals set is_used = is_used or v_given > 0 where id = p_signal;
  elsif v_given > 0 or v_is_used then
    delete from public.loom_signals where id = p_signal;
  else
    update public.loom_signals set is_new = false where id = p_signal;
  end if;
  return v_ended;
end $$;

-- What becomes of a step that gets a signal: it ends with it (the answer is for loom_finish_waits), or, where it has a
-- schema, a hub checks the signal first (the answer is null).
create or replace function public.loom_receive(p_job bigint, p_wait jsonb, p_payload text)
  returns json
  language plpgsql
  set search_path = ''
  set enable_seqscan = off
as $$
begin
  if p_wait -> 'parses' is distinct from 'true' then
    return json_build_object('id', p_job, 'detail', 'signalled', 'result', p_payload);
  end if;
  update public.loom_suspended
     set kind = 'condition', due_at = clock_timestamp(), ends_at = null, event = null, key = null, payload = p_payload
   where job_id = p_job;
  update public.loom_jobs
     set waiting_reason = '{"code": "condition", "summary": "a hub has to check the signal that came"}'
   where id = p_job;
  insert into public.loom_event_batches (type, state, detail, jobs, runs)
  select 'job.suspended', 'suspended', 'signalled', array[id], array[run_id] from public.loom_jobs where id = p_job;
  return null;
end $$;
