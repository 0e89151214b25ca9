-- Lists every node with the facts that placing needs: whether it is online by the
-- database's clock, and how many slots are taken by running jobs and by open offers.
--
-- Both counts read only rows that hold a slot. Pinned jobs that wait for their node
-- hold none, however many there are.
create or replace function public.loom_list_nodes()
  returns json
  language plpgsql
  stable
  security definer
  set search_path = ''
as $$
begin
  return (
    with running as (
      select session.node, count(*) as jobs
        from public.loom_node_sessions as session, unnest(session.held) as held(id)
       cross join lateral (
         select from public.loom_jobs where id = held.id and state = 'running' and ran_on = session.node offset 0) as job
       group by session.node
    ),
    offered as (
      select host as node, count(*) as jobs
        from public.loom_ready where offer_expires_at is not null group by host
    )
    select coalesce(json_agg(json_build_object(
             'name', node.name,
             'capabilities', node.capabilities, 'capabilities_version', node.capabilities_version,
             'asked_capabilities', node.asked_capabilities,
             'slots', node.slots, 'running', coalesce(running.jobs, 0), 'offered', coalesce(offered.jobs, 0),
             'status', node.status, 'status_note', node.status_note, 'status_until', node.status_until,
             'online', coalesce(not session.dead and session.expires_at > now(), false),
             'last_seen_ms', floor(1000 * extract(epoch from now()
                                    - coalesce(session.heartbeat_at, node.last_heartbeat_at))),
             'epoch', session.epoch, 'incarnation', node.incarnation,
             'agent_version', node.agent_version, 'upgrade_order', node.upgrade_order, 'tailnet_address', node.tailnet_address,
             'wake_port', node.wake_port, 'boot', session.boot, 'facts', node.facts) order by node.name), '[]')
      from public.openclaw_instances as node
      left join public.loom_node_sessions as session on session.node = node.name
      left join running on running.node = node.name
      left join offered on offered.node = node.name
     where node.name is not null);
end $$;

-- Returns what a node may know of itself: its status, and the names that it asked to offer and may not. Null before
-- its first hello.
create or replace function public.loom_describe_node(p_node text)
  returns json
  language plpgsql
  security definer
  set search_path = ''
as $$
declare
  v_node text := public.loom_acting_node(p_node);
begin
  return (
    select json_build_object(
             'name', node.name, 'status', node.status, 'status_note', node.status_note,
             'capabilities', node.capabilities, 'asked_capabilities', node.asked_capabilities,
             'online', coalesce(not session.dead and session.expires_at > clock_timestamp(), false),
             'last_seen_ms', floor(1000 * extract(epoch from clock_timestamp()
                                    - coalesce(session.heartbeat_at, node.last_heartbeat_at))))
      from public.openclaw_instances as node
      left join public.loom_node_sessions as session on session.node = node.name
     where node.name = v_node);
end $$;

-- Lists the wake servers of nodes that have something to claim now (an offer, or a job that is
-- pinned to them), that run a job which somebody asked to cancel, or that p_nodes names
-- because their status has changed. A node without a free slot is woken too: it claims when
-- it has one.
create or replace function public.loom_list_wake_addresses(p_nodes text[] default '{}')
  returns json
  language plpgsql
  stable
  security definer
  set search_path = ''
as $$
begin
  return (
    select coalesce(json_agg(json_build_object(
             'name', node.name, 'tailnet_address', node.tailnet_address, 'wake_port', node.wake_port,
             'boot', session.boot)
             order by node.name), '[]')
      from public.openclaw_instances as node
      join public.loom_node_sessions as session on session.node = node.name
     where node.wake_port is not null
       and not session.dead and session.expires_at > now()
       and (node.name = any(p_nodes)
            or node.status = 'active' and exists (
                 select from public.loom_ready where host = node.name and run_at <= now())
            or exists (
                 select from public.loom_running_jobs(node.name) where cancel_requested_at is not null)));
end $$;

-- Pauses a node, drains it, or makes it active again; for the hub, and for the node itself.
--
-- A node that is not active is offered nothing and claims nothing. Its running jobs go on.
-- Its offers are taken back at once. If a hub writes an offer at the same moment, the node's
-- next claim takes it back.
--
-- p_for_ms: the duration. After it, a pause ends by itself. A drain reaches its deadline,
-- and the node has to give back the jobs that it still runs. Both happen with a heartbeat,
-- which the node sends at that moment.
--
-- The function locks no session and waits for no job, so it cannot deadlock.
create or replace function public.loom_set_node_status(
  p_node   text,
  p_status text,
  p_note   text default null,
  p_for_ms bigint default null
)
  returns json
  language plpgsql
  security definer
  set search_path = ''
  set lock_timeout = '5s'
as $$
declare
  v_node  text := public.loom_acting_node(p_node);
  v_until timestamptz := clock_timestamp() + p_for_ms * interval '1 millisecond';
  v_was   text;
begin
  if p_status is null or p_status not in ('active', 'paused', 'draining')
     or length(p_note) > public.loom_limit('note_length') or p_for_ms not between 0 and public.loom_limit('delay_ms')
     or (p_status = 'active' and (p_note is not null or p_for_ms is not null)) then
    raise exception 'a status is active, or paused or draining with a note of up to % characters for up to a year',
      public.loom_limit('note_length')
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'leave out the note and the time of an active node';
  end if;

  select status into v_was from public.openclaw_instances where name = v_node for no key update;
  if not found then
    return null;
  end if;
  update public.openclaw_instances
     set status = p_status, status_note = p_note, status_until = v_until
   where name = v_node;
  if v_was is distinct from p_status then
    insert into public.loom_event_batches (type, node, detail)
    values (case p_status when 'active' then 'node.resumed' when 'paused' then 'node.paused' else 'node.draining' end,
            v_node, p_note);
    perform public.loom_require_event((public.loom_acting_key(v_node)).id);
  end if;

  return json_build_object('status', p_status, 'returned',
    case when p_status = 'active' then 0
         else public.loom_return_offers(v_node, false, format('%s is %s', v_node, p_status)) end);
end $$;

-- Returns a node's capabilities as they are stored: sorted, each once.
--
-- `node=…` and `loom-hub` identify a node, so no node may offer them: otherwise any machine could
-- take the steps that require them. The scheduler adds `node=<name>` from the row's name, and this
-- function adds `loom-hub` to a hub's own node. A hello says that it comes from a hub's own node; a
-- node's key may not say so (loom_hello).
create or replace function public.loom_node_capabilities(p_capabilities text[], p_is_hub boolean)
  returns text[]
  language plpgsql
  immutable
  set search_path = ''
as $$
begin
  if exists (select from unnest(p_capabilities) as c where c ~* '^(node|loom-hub)(=|$)') then
    raise exception 'no node may offer node=… or loom-hub, because they identify a node'
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT',
            hint = 'take them out of LOOM_CAPABILITIES; to address one node, require node= and its name';
  end if;
  return array(
    select distinct c
      from unnest(p_capabilities || case when p_is_hub then array['loom-hub'] else '{}' end) as c
     order by c);
end $$;

-- Refuses a node's report of itself when a hub could not read it back, or when it is
-- larger than a placing round may read for each node.
create or replace function public.loom_check_offer(
  p_capabilities    text[],
  p_slots           integer,
  p_tailnet_address text,
  p_wake_port   integer,
  p_facts           jsonb
)
  returns void
  language plpgsql
  immutable
  set search_path = ''
as $$
begin
  if p_slots is null or p_slots not between 0 and public.loom_limit('slots') then
    raise exception 'slots are a whole number from 0 to %', public.loom_limit('slots')
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'check LOOM_SLOTS';
  end if;
  if p_capabilities is null or cardinality(p_capabilities) > public.loom_limit('capabilities') then
    raise exception 'capabilities are a list of at most %', public.loom_limit('capabilities')
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'check LOOM_CAPABILITIES and what the probes find';
  end if;
  if exists (select from unnest(p_capabilities) as c
              where c is null or length(c) not between 1 and public.loom_limit('capability_length') or c ~ '[[:cntrl:]]') then
    raise exception 'a capability has 1 to % characters, none of them a control character', public.loom_limit('capability_length')
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'check LOOM_CAPABILITIES and what the probes find';
  end if;
  if coalesce(jsonb_typeof(p_facts), 'null') <> 'object' or not public.loom_is_json(p_facts::text) then
    raise exception 'facts are a JSON object, nested at most % levels', public.loom_limit('json_depth')
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'check what the probes find, and use one version of Loom';
  end if;
  if octet_length(p_facts::text) > public.loom_limit('facts_bytes') then
    raise exception 'facts hold at most % bytes as JSON', public.loom_limit('facts_bytes')
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'check what the probes find';
  end if;
  if length(p_tailnet_address) not between 1 and public.loom_limit('name_length') or p_tailnet_address ~ '[[:cntrl:][:space:]]' then
    raise exception 'the tailnet address must be an address, or be left out'
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'use one version of Loom';
  end if;
  if p_wake_port not between 1 and 65535 then
    raise exception 'a wake port must be 1 to 65535, or be left out'
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'check LOOM_WAKE';
  end if;
end $$;
