-- Pauses a node, drains it, or makes it active again; for the hub, and for the node itself.
--
-- A node that is not active is offered nothing and claims nothing. What it runs goes on.
-- Its offers are taken back at once; one that a hub writes at the same moment is taken back
-- by the node's next claim.
--
-- p_for_ms: how long. A pause then ends by itself, with the node's next heartbeat. A
-- drain has its deadline then: the node is told to give back what it still runs.
--
-- Locks no session and waits for no job, so it cannot deadlock.
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
     or length(p_note) > 2000 or p_for_ms not between 0 and 31536000000
     or (p_status = 'active' and (p_note is not null or p_for_ms is not null)) then
    raise exception 'a status is active, or paused or draining with a note of up to 2000 characters for up to a year'
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
    insert into public.loom_events (type, node, detail)
    values (case p_status when 'active' then 'node.resumed' when 'paused' then 'node.paused' else 'node.draining' end,
            v_node, p_note);
  end if;

  return json_build_object('status', p_status, 'returned',
    case when p_status = 'active' then 0
         else public.loom_return_offers(v_node, false, format('%s is %s', v_node, p_status)) end);
end $$;

revoke all on function public.loom_set_node_status from public, anon, authenticated, service_role;
grant execute on function public.loom_set_node_status to service_role;
