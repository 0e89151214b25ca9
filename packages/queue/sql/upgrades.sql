-- Orders nodes to take the agent that their hub has. An order stays until the node says in its facts how it
-- ended (agent.order, with a hello or a report of its session), so it outlives every restart. A newer order
-- takes the place of an older one. Null where none of the nodes is known.
--
-- Locks the nodes' rows by name, and no session.
create or replace function public.loom_order_upgrade(p_nodes text[], p_order uuid)
  returns json
  language plpgsql
  security definer
  set search_path = ''
  set lock_timeout = '5s'
as $$
declare
  v_nodes text[];
begin
  if p_order is null or p_nodes is null or cardinality(p_nodes) > 10000 then
    raise exception 'an order has an id, and names at most 10000 nodes'
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'see sql/upgrades.sql';
  end if;
  v_nodes := array(select name from public.openclaw_instances
                    where name = any (p_nodes) order by name for no key update);
  if v_nodes = '{}' then
    return null;
  end if;
  update public.openclaw_instances set upgrade_order = p_order where name = any (v_nodes);
  return json_build_object('ordered', to_json(v_nodes));
end $$;

-- The part of a node's order that is left after the node reported this.
create or replace function public.loom_upgrade_left(p_order uuid, p_facts jsonb)
  returns uuid
  language sql
  immutable
  set search_path = ''
as $$
  select case when p_facts #>> '{agent,order}' is distinct from p_order::text then p_order end;
$$;

-- A node's order, once it is the node's turn: nodes of one order go by name, and each waits for those before
-- it that are online. One that is away is not waited for: it learns of its order when it is back.
create or replace function public.loom_upgrade_turn(p_node text, p_order uuid)
  returns uuid
  language plpgsql
  stable
  set search_path = ''
as $$
begin
  if p_order is null
     or exists (select from public.openclaw_instances as earlier
                  join public.loom_node_sessions as session on session.node = earlier.name
                 where earlier.name < p_node and earlier.upgrade_order = p_order
                   and not session.dead and session.expires_at > clock_timestamp()) then
    return null;
  end if;
  return p_order;
end $$;
