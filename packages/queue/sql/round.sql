-- Does a hub's regular work in one call: it takes or keeps the lead (loom_lead) and, if
-- the caller leads, reaps or expires jobs and returns what there is to place, which
-- nodes to wake, and when the next call is due. A caller that does not lead learns only
-- who does.
--
-- Parts: each part after the lead is contained. What it locked goes with its savepoint,
-- the answer names it with its problem, and the other parts follow. Without the lead
-- there is no round, so its failure is the call's.
--
-- Lock order: the lead's row comes first, as in every function that asks for the leader
-- (loom_is_leader). Then one call either reaps or expires. Both lock runs and then
-- jobs, so the second one would wait for runs while the jobs of the first are locked:
-- with a cancel, which locks a run and waits for its jobs, that is a deadlock. A call
-- reaps unless somebody has reaped within the last half second; then it expires. If jobs
-- are late, loom_next_due says that the next call is due at once. A reaping that failed
-- holds no lock any more, so its call expires as well. The parts that follow only read.
-- So the locks of a reaped job are held for as long as these take, some milliseconds.
--
-- The lead's row stays locked until the end. A decision about schedules waits for it,
-- and so does another hub if the lease expires meanwhile. All waits are bounded by
-- lock_timeout.
--
-- Placing: jobs and nodes are read in one statement, so they are of one moment. Of each kind, as many jobs are read as
-- there are free slots, and five more, so that each kind of waiting job has its reason. Further four for each slot that
-- there is, which the kinds share: they are open to nodes that are full (loom_place_jobs), and last until the next round
-- at the highest rates. A
-- decision follows from jobs and nodes alone, and 'seen' identifies them. If the caller
-- passes the one that it decided last (p_seen), they are not sent again. The reason
-- why a job waits is no part of it, because the decision writes it.
--
-- Notifications are decided last (loom_derive_deliveries): they read events of earlier transactions, and lock only
-- rows of hooks.
--
-- p_wake: whether to list the wake servers of nodes that have something to claim.
create or replace function public.loom_round(
  p_holder   text,
  p_lease_ms integer,
  p_seen     text default null,
  p_wake     boolean default true
)
  returns json
  language plpgsql
  security definer
  set search_path = ''
  set plan_cache_mode = force_generic_plan
  set lock_timeout = '5s'
as $$
declare
  v_lead    json := public.loom_lead(p_holder, p_lease_ms);
  v_reaped  json;
  v_expired json;
  v_placing json;
  v_wake    json := '[]';
  v_slots   text;
  v_due     record;
  v_send    boolean := false;
  v_failed  json[] := '{}';
begin
  if not (v_lead ->> 'leading')::boolean then
    return json_build_object('lead', v_lead);
  end if;

  if not exists (select from public.loom_leaders
                  where duty = 'reaper' and ticked_at between clock_timestamp() - interval '0.5 second' and clock_timestamp()) then
    begin
      v_reaped := public.loom_reap();
    exception when others then
      v_failed := v_failed || json_build_object('part', 'reap', 'problem', sqlerrm);
    end;
  end if;
  if v_reaped is null then
    begin
      v_expired := public.loom_expire_jobs();
    exception when others then
      v_failed := v_failed || json_build_object('part', 'expire', 'problem', sqlerrm);
    end;
  end if;

  begin
    v_placing := public.loom_list_placing(p_seen);
  exception when others then
    v_failed := v_failed || json_build_object('part', 'place', 'problem', sqlerrm);
  end;

  begin
    if p_wake then
      v_wake := public.loom_list_wake_addresses();
    end if;
  exception when others then
    v_failed := v_failed || json_build_object('part', 'wake', 'problem', sqlerrm);
  end;

  begin
    select format('%s/%s', count(*), sum(revision)) into v_slots from public.loom_schedules;
    select * into strict v_due from public.loom_next_due();
  exception when others then
    v_failed := v_failed || json_build_object('part', 'due', 'problem', sqlerrm);
    select null::timestamptz as due_at, true as is_busy, true as can_start, true as has_conditions, true as has_waits into v_due;
  end;

  begin
    v_send := public.loom_derive_deliveries();
  exception when others then
    v_failed := v_failed || json_build_object('part', 'notify', 'problem', sqlerrm);
  end;

  return json_build_object(
    'lead', v_lead,
    'now', clock_timestamp(),
    -- Whether there are hubs that would take the lead over.
    'has_followers', exists (
      select from public.loom_node_sessions
       where is_hub and not dead and expires_at > clock_timestamp() and node <> split_part(p_holder, '/', 1)),
    'reaped', v_reaped,
    'expired', coalesce((v_expired ->> 'expired')::integer, 0),
    'failed', to_json(v_failed),
    'placing', v_placing,
    -- Whether items are to be made (loom_expand_maps).
    'has_maps', exists (select from public.loom_maps where is_due),
    'wake', v_wake,
    'schedules', json_build_object('revision', v_slots, 'can_start', v_due.can_start),
    'has_deliveries', v_send,
    'has_conditions', v_due.has_conditions,
    'has_waits', v_due.has_waits,
    'is_busy', v_due.is_busy,
    'due_in_ms', ceil(1000 * extract(epoch from v_due.due_at - clock_timestamp())));
end $$;

-- Returns what placing decides from, or null if nothing waits: the waiting jobs, the
-- nodes, and `seen`, which identifies what a decision depends on. With p_seen of an
-- equal state, only `seen`.
--
-- How long ago an offline node was last seen is part of a reason, as a power of two.
create or replace function public.loom_list_placing(p_seen text)
  returns json
  language plpgsql
  stable
  set search_path = ''
as $$
declare
  v_nodes   json;
  v_jobs    json;
  v_reasons json;
  v_runs    json;
  v_steps   json;
  v_seen    text;
begin
  -- Nodes are read only for jobs.
  if not exists (select from public.loom_kinds_waiting(1)) then
    return null;
  end if;
  with known as materialized (
    select public.loom_list_nodes() as nodes
  ),
  free as materialized (
    select coalesce(sum(greatest(slots - running - offered, 0)), 0) as slots, coalesce(sum(slots), 0) as all_slots
      from known
     cross join json_to_recordset(known.nodes) as node(
             online boolean, status text, slots integer, running integer, offered integer)
     where online and status = 'active'
  )
  select known.nodes, waiting.jobs, waiting.reasons, waiting.runs, waiting.steps
    into v_nodes, v_jobs, v_reasons, v_runs, v_steps
    from known
   cross join free
   cross join (select count(*) from public.loom_kinds_waiting(100)) as kinds
   cross join lateral public.loom_read_waiting(
           least(free.slots + 5 + 4 * free.all_slots / kinds.count, 100)::integer, null) as waiting;
  if v_jobs is null then
    return null;
  end if;

  -- Texts are compared, not values: jobs and nodes are long, and are described by one query in one order.
  select md5(concat_ws(e'\n', v_jobs, v_runs, v_steps,
           (select string_agg(concat_ws(' ', name, capabilities, slots, running + offered, status, online,
                     case when not online then floor(log(2.0, greatest(last_seen_ms, 1))) end), e'\n')
              from json_to_recordset(v_nodes) as node(
                     name text, capabilities text, slots integer, running integer, offered integer,
                     status text, online boolean, last_seen_ms numeric))))
    into v_seen;
  if v_seen = p_seen then
    return json_build_object('seen', v_seen);
  end if;
  return json_build_object('seen', v_seen, 'nodes', v_nodes, 'waiting', json_build_object(
    'jobs', v_jobs, 'reasons', v_reasons, 'runs', v_runs, 'steps', v_steps));
end $$;

-- Returns when the next round is due, whether jobs are offered or running, whether the
-- queued run of a schedule can start, whether conditions are to be evaluated, and whether waits are to be ended.
--
-- Due are the ends of leases, offers, deadlines (at the earliest; see
-- loom_node_sessions), times to start in and pauses of nodes, and the times at which waiting and pinned jobs become due. A job that became due
-- before this transaction has been listed, so only later ones count (loom_list_waiting
-- compares with now() as well). A pause ends with the node's heartbeat, which comes
-- within half a second of its time. A round is due a third of the shortest lease after
-- the last reaping: after more than half of it without one, the reaper takes nobody for
-- dead (loom_reap).
create or replace function public.loom_next_due(
  out due_at timestamptz, out is_busy boolean, out can_start boolean, out has_conditions boolean,
  out has_waits boolean
)
  language plpgsql
  stable
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
#variable_conflict use_column
begin
  select least(
           (select min(least(session.expires_at, reaper.ticked_at + session.lease_ms * interval '0.33 millisecond'))
              from public.loom_node_sessions as session cross join public.loom_leaders as reaper
             where not session.dead and reaper.duty = 'reaper'),
           (select min(status_until) + interval '0.5 second' from public.openclaw_instances
             where status = 'paused' and status_until > now() - interval '0.5 second'),
           (select min(offer_expires_at) from public.loom_ready where offer_expires_at is not null),
           (select min(deadline_at) from public.loom_node_sessions where not dead),
           (select min(start_by) from public.loom_ready where start_by is not null),
           (select min(first.due_at)
              from unnest(array['condition', 'sleep', 'signal', 'approval']) as wait(kind)
             cross join lateral (
               select due_at from public.loom_suspended as suspended
                where suspended.kind = wait.kind and suspended.due_at > now() and suspended.due_at < 'infinity'
                order by suspended.due_at limit 1) as first),
           (select min(first.run_at)
              from public.loom_kinds_waiting() as kind
             cross join lateral (
               select run_at from public.loom_ready as ready
                where ready.host is null and ready.kind = kind.kind and ready.priority = kind.priority
                  and ready.run_at > now()
                order by ready.run_at limit 1) as first),
           (select min(first.run_at)
              from public.loom_hosts_pending() as place
             cross join lateral (
               select run_at from public.loom_ready as ready
                where ready.host = place.host and ready.priority = place.priority and ready.run_at > now()
                order by ready.run_at limit 1) as first)),
         exists (select from public.loom_ready where offer_expires_at is not null)
         or exists (select from public.loom_node_sessions as session
                     where session.held <> '{}' and exists (select from public.loom_running_jobs(session.node))),
         exists (select from public.loom_schedule_slots as slot
                   join public.loom_schedules as schedule on schedule.id = slot.schedule_id
                  where slot.queued and schedule.paused_at is null and schedule.removed_at is null
                    and not exists (select from public.loom_runs as run
                                     where run.schedule_id = schedule.id and run.status = 'running')),
         exists (select from public.loom_suspended as suspended where suspended.kind = 'condition' and suspended.due_at <= now()),
         exists (select from public.loom_signals where is_new)
         or exists (select from unnest(array['sleep', 'signal', 'approval']) as wait(kind)
                     cross join lateral (
                       select from public.loom_suspended as suspended
                        where suspended.kind = wait.kind and suspended.due_at <= now() limit 1) as first)
    into due_at, is_busy, can_start, has_conditions, has_waits;
end $$;
