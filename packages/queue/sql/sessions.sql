-- Opens a node's session: one start of its agent (an incarnation) is one epoch.
--
-- A new incarnation raises the epoch and gives the older one's jobs back at once.
-- If the same incarnation calls again because its answer was lost, it gets the same epoch,
-- unless its session was declared dead meanwhile and has lost its jobs. A late hello of an
-- incarnation that was superseded gets epoch 0, which no session has. Its first call with
-- that epoch is refused.
--
-- Lock order everywhere: session, runs by id, jobs by id. An older agent of the
-- same name that still lives learns from its next heartbeat that it was superseded.
--
-- A name belongs to one machine at a time. While its lease is valid, a hello from another machine is
-- refused, and the answer names the holder. A hello from the same machine is never refused. A machine
-- is recognised by the id that it keeps. A copy of the machine has the same id but another boot: if it
-- was already up when the holder sent its last heartbeat, the holder is not an earlier boot of it.
--
-- Interleavings of two machines: the second one's insert waits for the first one's row, and its
-- update then finds the first one's machine and lease there. A reaper or a lease that ends in
-- between lets the second one in, under the next epoch.
--
-- The node's key is locked before the session's row (loom_hold_key), and the session stores the key
-- that opened it. Only the service role may say that a node is a hub's. Capabilities that the key does
-- not allow are stored as asked for (loom_split_offer).
create or replace function public.loom_hello(
  p_node            text,
  p_incarnation     uuid,
  p_lease_ms        integer,
  p_capabilities    text[],
  p_slots           integer,
  p_agent_version   text default null,
  p_tailnet_address text default null,
  p_wake_port   integer default null,
  p_facts           jsonb default '{}',
  p_machine         uuid default null,
  p_boot            uuid default null,
  p_up_ms           bigint default null,
  p_host            text default null,
  p_is_hub          boolean default false
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
  v_node         text := public.loom_acting_node(p_node);
  v_now          timestamptz := clock_timestamp();
  v_expires      timestamptz := v_now + p_lease_ms * interval '1 millisecond';
  v_key          public.loom_node_keys;
  v_capabilities text[];
  v_asked        text[];
  v_was_asked    text[];
  v_booted_at    timestamptz := v_now - p_up_ms * interval '1 millisecond';
  v_holder       public.loom_node_sessions;
  v_epoch        bigint;
  v_requeued     integer;
  v_database     uuid := (select id from public.loom_database);
begin
  if p_lease_ms is null or p_lease_ms not between 3000 and 3600000 then
    raise exception 'a lease is 3000 to 3600000 ms'
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'check the agent''s settings';
  end if;
  if length(p_agent_version) > public.loom_limit('name_length') then
    raise exception 'the agent''s version has at most % characters', public.loom_limit('name_length')
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'use one version of Loom';
  end if;
  perform public.loom_check_offer(p_capabilities, p_slots, p_tailnet_address, p_wake_port, p_facts);

  if p_up_ms < 0 or length(p_host) > 253 or p_host ~ '[[:cntrl:]]' then
    raise exception 'a machine is up for 0 ms or more, and its host name has at most 253 printable characters'
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'check the machine''s host name';
  end if;
  if p_is_hub and (public.loom_acting_key(v_node)).id is not null then
    raise exception 'a hub cannot open its node''s session with a node''s key'
      using errcode = 'PT403', detail = 'NODE_KEY_REFUSED', hint = 'give the hub the secret key';
  end if;
  v_key := public.loom_hold_key(v_node);
  select offered, asked into v_capabilities, v_asked
    from public.loom_split_offer(public.loom_node_capabilities(p_capabilities, p_is_hub), v_key);

  insert into public.loom_node_sessions as session
    (node, incarnation, lease_ms, expires_at, heartbeat_at, machine, boot, host, is_hub, key_id)
  values (v_node, p_incarnation, p_lease_ms, v_expires, v_now, p_machine, p_boot, p_host, coalesce(p_is_hub, false), v_key.id)
  on conflict (node) do update
     set epoch          = session.epoch
                          + case when session.incarnation = p_incarnation and not session.dead then 0 else 1 end,
         last_claim_seq = case when session.incarnation = p_incarnation and not session.dead
                               then session.last_claim_seq else 0 end,
         -- The reaper looks for jobs of the older epoch that were locked.
         deadline_at    = case when session.held <> '{}' then v_now end,
         past_incarnations = case when session.incarnation = p_incarnation then session.past_incarnations
                                  else (array_prepend(session.incarnation, session.past_incarnations))[:20] end,
         incarnation    = p_incarnation,
         lease_ms       = p_lease_ms,
         expires_at     = v_expires,
         heartbeat_at   = v_now,
         dead           = false,
         machine        = p_machine,
         boot           = p_boot,
         host           = p_host,
         is_hub         = coalesce(p_is_hub, false),
         key_id         = v_key.id
   where p_incarnation <> all (session.past_incarnations)
     and (session.dead or session.expires_at <= clock_timestamp()
          or session.machine is not distinct from p_machine
             and not coalesce(session.boot <> p_boot and session.heartbeat_at > v_booted_at, false))
  returning session.epoch into v_epoch;
  if not found then
    select * into strict v_holder from public.loom_node_sessions where node = v_node;
    if p_incarnation = any (v_holder.past_incarnations) then
      return json_build_object('epoch', 0, 'lease_ms', p_lease_ms, 'requeued', 0, 'database', v_database);
    end if;
    return json_build_object('refused', 'NODE_NAME_IN_USE', 'held_by', json_build_object(
      'machine', v_holder.machine, 'host', v_holder.host,
      'is_copy', coalesce(v_holder.machine = p_machine, false),
      'is_here', coalesce(v_holder.boot = p_boot, false),
      'tailnet_address', (select tailnet_address from public.openclaw_instances where name = v_node),
      'lease_left_ms', greatest(0, ceil(extract(epoch from v_holder.expires_at - clock_timestamp()) * 1000))));
  end if;

  v_was_asked := (select asked_capabilities from public.openclaw_instances where name = v_node);
  insert into public.openclaw_instances as node
    (name, capabilities, asked_capabilities, slots, incarnation, last_heartbeat_at, agent_version,
     tailnet_address, wake_port, facts)
  values (v_node, v_capabilities, v_asked, p_slots, p_incarnation, v_now, p_agent_version,
          p_tailnet_address, p_wake_port, p_facts)
  on conflict (name) do update
     set capabilities_version = node.capabilities_version
                                + case when node.capabilities = excluded.capabilities then 0 else 1 end,
         capabilities      = excluded.capabilities,
         asked_capabilities = excluded.asked_capabilities,
         slots             = excluded.slots,
         incarnation       = excluded.incarnation,
         last_heartbeat_at = excluded.last_heartbeat_at,
         agent_version     = excluded.agent_version,
         tailnet_address   = excluded.tailnet_address,
         wake_port     = excluded.wake_port,
         upgrade_order     = public.loom_upgrade_left(node.upgrade_order, excluded.facts),
         facts             = excluded.facts;

  insert into public.loom_event_batches (type, node, epoch) values ('node.hello', v_node, v_epoch);

  v_requeued := public.loom_requeue_jobs(
    array(select id from public.loom_running_jobs(v_node) where epoch < v_epoch),
    format('the agent of %s started again', v_node));
  perform public.loom_retry_declined(v_node);
  perform public.loom_close_jobs(v_node);
  perform public.loom_require_event(v_key.id);
  perform public.loom_note_asked(v_node, v_key.id, v_was_asked, v_asked);

  return json_build_object(
    'epoch', v_epoch, 'lease_ms', p_lease_ms, 'requeued', v_requeued, 'database', v_database);
end $$;

-- Stores what a node offers from now on, after a probe of its running agent found a change.
--
-- When the capabilities differ, their version rises, and offers with requirements are taken
-- back, because they were placed on the earlier capabilities. They are placed again at once,
-- on the same node if it still fits.
--
-- Only the current session may report. Its row is locked first: otherwise an older agent's report
-- could overwrite a hello that comes in between. The key's permissions are read after that
-- (loom_allow_offers).
create or replace function public.loom_report_node(
  p_node            text,
  p_epoch           bigint,
  p_capabilities    text[],
  p_slots           integer,
  p_tailnet_address text default null,
  p_wake_port   integer default null,
  p_facts           jsonb default '{}'
)
  returns json
  language plpgsql
  security definer
  set search_path = ''
  set lock_timeout = '5s'
as $$
declare
  v_node         text := public.loom_acting_node(p_node);
  v_capabilities text[];
  v_asked        text[];
  v_session      public.loom_node_sessions;
  v_was          text[];
  v_was_asked    text[];
  v_key          public.loom_node_keys;
  v_returned     integer := 0;
begin
  perform public.loom_check_offer(p_capabilities, p_slots, p_tailnet_address, p_wake_port, p_facts);

  select * into v_session from public.loom_node_sessions where node = v_node for no key update;
  if v_session.epoch is distinct from p_epoch or v_session.dead then
    return json_build_object('session', case when v_session.epoch > p_epoch then 'superseded' else 'dead' end);
  end if;

  v_key := public.loom_acting_key(v_node);
  select offered, asked into v_capabilities, v_asked
    from public.loom_split_offer(public.loom_node_capabilities(p_capabilities, v_session.is_hub), v_key);
  select capabilities, asked_capabilities into v_was, v_was_asked from public.openclaw_instances where name = v_node for no key update;
  update public.openclaw_instances as node
     set capabilities_version = node.capabilities_version + case when v_was = v_capabilities then 0 else 1 end,
         capabilities         = v_capabilities,
         asked_capabilities   = v_asked,
         slots                = p_slots,
         tailnet_address      = p_tailnet_address,
         wake_port        = p_wake_port,
         upgrade_order        = public.loom_upgrade_left(node.upgrade_order, p_facts),
         facts                = p_facts
   where node.name = v_node;

  if v_was is distinct from v_capabilities then
    perform public.loom_retry_declined(v_node);
    v_returned := public.loom_return_offers(v_node, true, format('what %s offers has changed', v_node));
    -- Each change takes offers back, so it is counted.
    perform public.loom_require_event(v_key.id);
  end if;
  perform public.loom_note_asked(v_node, v_key.id, v_was_asked, v_asked);
  return json_build_object('session', 'live', 'returned', v_returned);
end $$;

-- Renews a node's lease, for all its running jobs at once. Returns the jobs that the node
-- holds, which of them to cancel, the node's status, when that status ends by itself,
-- whether the deadline of a drain has passed, whether there is something to claim, and an
-- order to take another agent (upgrades.sql). An expired pause ends here.
--
-- The conditional update resolves the race with the reaper: either the heartbeat comes
-- first and the reaper finds a fresh lease, or the reaper does and this finds 'dead'.
--
-- A session that is renewed with another key of its node belongs to that key from then on, so that the old key can
-- be revoked without a pause. The key's row is locked for that, and to store when it was last used. It is locked
-- before the session's row, as everywhere.
create or replace function public.loom_heartbeat(p_node text, p_epoch bigint)
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
  v_node    text := public.loom_acting_node(p_node);
  v_now     timestamptz := clock_timestamp();
  v_key     public.loom_node_keys := public.loom_acting_key(v_node);
  v_session public.loom_node_sessions;
  v_known   public.openclaw_instances;
begin
  if coalesce(v_key.last_used_at < v_now - interval '1 minute', v_key.id is not null)
     or v_key.id is not null
        and exists (select from public.loom_node_sessions where node = v_node and key_id is distinct from v_key.id) then
    v_key := public.loom_hold_key(v_node);
  end if;
  update public.loom_node_sessions
     set heartbeat_at = v_now,
         expires_at   = v_now + lease_ms * interval '1 millisecond',
         key_id       = coalesce(v_key.id, key_id)
   where node = v_node and epoch = p_epoch and not dead
  returning * into v_session;
  if not found then
    select * into v_session from public.loom_node_sessions where node = v_node;
    return json_build_object('session', case when v_session.epoch > p_epoch then 'superseded' else 'dead' end);
  end if;

  -- The descriptive row is wide and indexed: once a minute is enough for it.
  update public.openclaw_instances
     set last_heartbeat_at = v_now
   where name = v_node and last_heartbeat_at < v_now - interval '1 minute';

  -- Checked again under the row's lock, because another call may be prolonging the pause.
  update public.openclaw_instances
     set status = 'active', status_note = null, status_until = null
   where name = v_node and status = 'paused' and status_until <= v_now;
  if found then
    insert into public.loom_event_batches (type, node, epoch) values ('node.resumed', v_node, p_epoch);
  end if;

  select * into v_known from public.openclaw_instances where name = v_node;

  return (
    select json_build_object(
             'session', 'live', 'lease_ms', v_session.lease_ms, 'status', v_known.status,
             'give_back', v_known.status = 'draining' and coalesce(v_known.status_until <= v_now, false),
             'status_ends_ms', case when v_known.status_until > v_now then
               ceil(1000 * extract(epoch from v_known.status_until - v_now)) end,
             'upgrade', public.loom_upgrade_turn(v_node, v_known.upgrade_order),
             'has_offers', v_known.status = 'active' and exists (
               select from public.loom_ready where host = v_node and run_at <= v_now),
             'held', coalesce(json_agg(json_build_object('id', id, 'fence', fence) order by id), '[]'),
             'cancel', coalesce(json_agg(id order by id) filter (where cancel_requested_at is not null), '[]'))
      from public.loom_running_jobs(v_node)
     where epoch = p_epoch);
end $$;

-- The jobs that run on a node, of whichever epoch. A job's row says whether it runs; the session's list says where to
-- look.
create or replace function public.loom_running_jobs(p_node text)
  returns setof public.loom_jobs
  language plpgsql
  stable
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
begin
  return query
    select job.*
      from public.loom_node_sessions as session, unnest(session.held) as held(id)
     cross join lateral (
       select * from public.loom_jobs where id = held.id and state = 'running' and ran_on = p_node offset 0) as job
     where session.node = p_node;
end $$;
