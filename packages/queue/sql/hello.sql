-- Opens a node's session: one start of its agent (an incarnation) is one epoch.
--
-- A new incarnation raises the epoch and gives the older one's jobs back at once.
-- The same incarnation calling again (its answer was lost) gets the same epoch,
-- unless its session was declared dead meanwhile: what it held is gone then. One that
-- was superseded before, whose hello was on its way all the time, gets epoch 0, which no
-- session has: its first call with that tells it so.
--
-- Lock order everywhere: session, runs by id, jobs by id. An older agent of the
-- same name that still lives learns from its next heartbeat that it was superseded.
create or replace function public.loom_hello(
  p_node            text,
  p_incarnation     uuid,
  p_lease_ms        integer,
  p_capabilities    text[],
  p_slots           integer,
  p_agent_version   text default null,
  p_tailnet_address text default null,
  p_doorbell_port   integer default null,
  p_facts           jsonb default '{}'
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
  v_capabilities text[] := array(select distinct c from unnest(p_capabilities) as c order by c);
  v_epoch        bigint;
  v_requeued     integer;
begin
  if p_lease_ms not between 3000 and 3600000 or p_slots not between 0 and 10000
     or cardinality(p_capabilities) > 1000 then
    raise exception 'a lease is 3000 to 3600000 ms, slots are 0 to 10000, capabilities at most 1000'
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'check the agent''s settings';
  end if;

  insert into public.loom_node_sessions as session (node, incarnation, lease_ms, expires_at, heartbeat_at)
  values (v_node, p_incarnation, p_lease_ms, v_expires, v_now)
  on conflict (node) do update
     set epoch          = session.epoch
                          + case when session.incarnation = p_incarnation and not session.dead then 0 else 1 end,
         last_claim_seq = case when session.incarnation = p_incarnation and not session.dead
                               then session.last_claim_seq else 0 end,
         past_incarnations = case when session.incarnation = p_incarnation then session.past_incarnations
                                  else (array_prepend(session.incarnation, session.past_incarnations))[:20] end,
         incarnation    = p_incarnation,
         lease_ms       = p_lease_ms,
         expires_at     = v_expires,
         heartbeat_at   = v_now,
         dead           = false
   where p_incarnation <> all (session.past_incarnations)
  returning session.epoch into v_epoch;
  if not found then
    return json_build_object('epoch', 0, 'lease_ms', p_lease_ms, 'requeued', 0);
  end if;

  insert into public.openclaw_instances as node
    (name, capabilities, slots, incarnation, last_heartbeat_at, agent_version, tailnet_address, doorbell_port, facts)
  values (v_node, v_capabilities, p_slots, p_incarnation, v_now, p_agent_version, p_tailnet_address, p_doorbell_port, p_facts)
  on conflict (name) do update
     set capabilities_version = node.capabilities_version
                                + case when node.capabilities = excluded.capabilities then 0 else 1 end,
         capabilities      = excluded.capabilities,
         slots             = excluded.slots,
         incarnation       = excluded.incarnation,
         last_heartbeat_at = excluded.last_heartbeat_at,
         agent_version     = excluded.agent_version,
         tailnet_address   = excluded.tailnet_address,
         doorbell_port     = excluded.doorbell_port,
         facts             = excluded.facts;

  insert into public.loom_events (type, node, epoch) values ('node.hello', v_node, v_epoch);

  v_requeued := public.loom_requeue_jobs(
    array(select id from public.loom_job_queue where claimed_by = v_node and epoch < v_epoch),
    format('the agent of %s started again', v_node));

  return json_build_object('epoch', v_epoch, 'lease_ms', p_lease_ms, 'requeued', v_requeued);
end $$;

revoke all on function public.loom_hello from public, anon, authenticated, service_role;
grant execute on function public.loom_hello to service_role;
