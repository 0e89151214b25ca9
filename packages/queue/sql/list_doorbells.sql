-- The doorbells of the nodes that have something to claim now: an offer, or a job that is
-- pinned to them. A node without a free slot is told all the same: it looks when it has one.
create or replace function public.loom_list_doorbells()
  returns json
  language sql
  stable
  security definer
  set search_path = ''
as $$
  select coalesce(json_agg(json_build_object(
           'name', node.name, 'tailnet_address', node.tailnet_address, 'doorbell_port', node.doorbell_port)
           order by node.name), '[]')
    from public.openclaw_instances as node
    join public.loom_node_sessions as session on session.node = node.name
   where node.status = 'active' and node.doorbell_port is not null
     and not session.dead and session.expires_at > now()
     and exists (select from public.loom_job_queue as job
                  where job.state = 'pending' and job.target_host = node.name and job.run_at <= now());
$$;

revoke all on function public.loom_list_doorbells from public, anon, authenticated, service_role;
grant execute on function public.loom_list_doorbells to service_role;
