-- Every node, with what placing needs to know: online or not by the database's
-- clock, and how many slots are taken by running jobs and by offers in flight.
--
-- Both counts read only rows that hold a slot; a job pinned to a node that waits
-- for it holds none, however many there are.
create or replace function public.loom_list_nodes()
  returns json
  language sql
  stable
  security definer
  set search_path = ''
as $$
  with running as (
    select claimed_by as node, count(*) as jobs
      from public.loom_job_queue where claimed_by is not null group by claimed_by
  ),
  offered as (
    select target_host as node, count(*) as jobs
      from public.loom_job_queue where offer_expires_at is not null group by target_host
  )
  select coalesce(json_agg(json_build_object(
           'name', node.name,
           'capabilities', node.capabilities, 'capabilities_version', node.capabilities_version,
           'slots', node.slots, 'running', coalesce(running.jobs, 0), 'offered', coalesce(offered.jobs, 0),
           'status', node.status, 'status_note', node.status_note, 'status_until', node.status_until,
           'online', coalesce(not session.dead and session.expires_at > now(), false),
           'last_seen_ms', floor(1000 * extract(epoch from now()
                                  - coalesce(session.heartbeat_at, node.last_heartbeat_at))),
           'epoch', session.epoch, 'incarnation', node.incarnation,
           'agent_version', node.agent_version, 'tailnet_address', node.tailnet_address,
           'doorbell_port', node.doorbell_port, 'facts', node.facts) order by node.name), '[]')
    from public.openclaw_instances as node
    left join public.loom_node_sessions as session on session.node = node.name
    left join running on running.node = node.name
    left join offered on offered.node = node.name
   where node.name is not null;
$$;

revoke all on function public.loom_list_nodes from public, anon, authenticated, service_role;
grant execute on function public.loom_list_nodes to service_role;
