-- Gives back what nobody works on: jobs of dead sessions and of older epochs, jobs
-- past their deadline, and offers that no node took in time.
--
-- An expired lease alone kills nobody. If nobody reaped for more than half of a
-- session's lease, then the database or all hubs were away and its node could not
-- be heard: every such session gets a fresh lease first.
--
-- One reaper at a time (the duty's row, skip locked); a second one does nothing.
-- Offers come last and are not waited for: no lock is held while waiting for one of
-- lower rank.
create or replace function public.loom_reap(p_limit integer default 500)
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
  v_now      timestamptz := clock_timestamp();
  v_ticked   timestamptz;
  v_dead     text[];
  v_requeued integer;
  v_offers   integer;
begin
  select ticked_at into v_ticked from public.loom_leaders where duty = 'reaper' for update skip locked;
  if not found then
    return json_build_object('reaped', false, 'dead', '[]'::json, 'requeued', 0, 'expired_offers', 0);
  end if;
  update public.loom_leaders set ticked_at = v_now where duty = 'reaper';

  -- A session that is in use is waited for: passed over, it would be declared dead next time.
  with unwatched as materialized (
    select node from public.loom_node_sessions
     where not dead and v_now - v_ticked > lease_ms * interval '0.5 millisecond'
     order by node
       for no key update
  )
  update public.loom_node_sessions as session
     set expires_at = v_now + lease_ms * interval '1 millisecond'
    from unwatched
   where session.node = unwatched.node;

  with expired as materialized (
    select node from public.loom_node_sessions
     where not dead and expires_at <= v_now
     order by node
       for no key update skip locked
  ),
  died as (
    update public.loom_node_sessions as session
       set dead = true
      from expired
     where session.node = expired.node
    returning session.node, session.epoch
  ),
  event as (
    insert into public.loom_events (type, node, epoch) select 'node.dead', node, epoch from died
  )
  select coalesce(array_agg(node order by node), '{}') into v_dead from died;

  v_requeued := public.loom_requeue_jobs(array(
    (select job.id
       from public.loom_node_sessions as session
       join public.loom_job_queue as job on job.claimed_by = session.node
      where session.dead or job.epoch <> session.epoch
      limit p_limit)
    union
    (select id from public.loom_job_queue
      where claimed_by is not null and deadline_at <= v_now
      limit p_limit)),
    'the node''s lease or the job''s deadline passed');

  with expired as materialized (
    select id, target_host from public.loom_job_queue
     where offer_expires_at is not null and offer_expires_at <= v_now
     order by id
     limit p_limit
       for no key update skip locked
  ),
  given_back as (
    update public.loom_job_queue as job
       set state            = 'waiting',
           target_host      = null,
           offer_expires_at = null,
           waiting_reason   = jsonb_build_object('code', 'offer_expired', 'summary',
                                format('%s did not take the offer in time; it is being placed again', job.target_host))
      from expired
     where job.id = expired.id
    returning job.id, job.run_id, expired.target_host
  )
  insert into public.loom_events (type, run_id, job_id, state, node)
  select 'job.offer_expired', run_id, id, 'waiting', target_host from given_back;
  get diagnostics v_offers = row_count;

  return json_build_object('reaped', true, 'dead', to_json(v_dead), 'requeued', v_requeued, 'expired_offers', v_offers);
end $$;

revoke all on function public.loom_reap from public, anon, authenticated, service_role;
grant execute on function public.loom_reap to service_role;
