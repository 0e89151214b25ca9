-- What a node offers has changed while its agent runs: a probe found something new, or
-- no longer finds what it did.
--
-- When the capabilities differ, their version rises and the offers that demand something
-- are taken back: they were placed on what the node offered before. They are placed again at
-- once, and on the same node if it still fits.
--
-- Only the current session may report. Its row is locked first: a hello that comes between
-- would otherwise be overwritten with what an older agent says.
create or replace function public.loom_report_node(
  p_node            text,
  p_epoch           bigint,
  p_capabilities    text[],
  p_slots           integer,
  p_tailnet_address text default null,
  p_doorbell_port   integer default null,
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
  v_capabilities text[] := array(select distinct c from unnest(p_capabilities) as c order by c);
  v_session      public.loom_node_sessions;
  v_was          text[];
begin
  if p_slots not between 0 and 10000 or cardinality(p_capabilities) > 1000 then
    raise exception 'slots are 0 to 10000, capabilities at most 1000'
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'check the agent''s settings';
  end if;

  select * into v_session from public.loom_node_sessions where node = v_node for no key update;
  if v_session.epoch is distinct from p_epoch or v_session.dead then
    return json_build_object('session', case when v_session.epoch > p_epoch then 'superseded' else 'dead' end);
  end if;

  select capabilities into v_was from public.openclaw_instances where name = v_node for no key update;
  update public.openclaw_instances as node
     set capabilities_version = node.capabilities_version + case when v_was = v_capabilities then 0 else 1 end,
         capabilities         = v_capabilities,
         slots                = p_slots,
         tailnet_address      = p_tailnet_address,
         doorbell_port        = p_doorbell_port,
         facts                = p_facts
   where node.name = v_node;

  return json_build_object('session', 'live', 'returned',
    case when v_was = v_capabilities then 0
         else public.loom_return_offers(v_node, true, format('what %s offers has changed', v_node)) end);
end $$;

revoke all on function public.loom_report_node from public, anon, authenticated, service_role;
grant execute on function public.loom_report_node to service_role;
