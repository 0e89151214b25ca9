-- Renews a node's lease, for all its running jobs at once, and tells it what the
-- hub knows: which jobs it holds, which of them to cancel, the node's status, and
-- whether the deadline of a drain has passed. A pause that is over ends here.
--
-- The conditional update decides against the reaper: either the heartbeat comes
-- first and the reaper finds a fresh lease, or the reaper does and this finds 'dead'.
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
  v_session public.loom_node_sessions;
  v_known   public.openclaw_instances;
begin
  update public.loom_node_sessions
     set heartbeat_at = v_now,
         expires_at   = v_now + lease_ms * interval '1 millisecond'
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

  -- Looked at again under the row's lock: somebody may be prolonging the pause.
  update public.openclaw_instances
     set status = 'active', status_note = null, status_until = null
   where name = v_node and status = 'paused' and status_until <= v_now;
  if found then
    insert into public.loom_events (type, node, epoch) values ('node.resumed', v_node, p_epoch);
  end if;

  select * into v_known from public.openclaw_instances where name = v_node;

  return (
    select json_build_object(
             'session', 'live', 'lease_ms', v_session.lease_ms, 'status', v_known.status,
             'give_back', v_known.status = 'draining' and coalesce(v_known.status_until <= v_now, false),
             'held', coalesce(json_agg(json_build_object('id', id, 'fence', fence) order by id), '[]'),
             'cancel', coalesce(json_agg(id order by id) filter (where cancel_requested_at is not null), '[]'))
      from public.loom_job_queue
     where claimed_by = v_node and epoch = p_epoch);
end $$;

revoke all on function public.loom_heartbeat from public, anon, authenticated, service_role;
grant execute on function public.loom_heartbeat to service_role;
