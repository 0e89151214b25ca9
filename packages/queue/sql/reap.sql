-- Gives back jobs that no node works on: jobs of dead sessions and of older epochs,
-- jobs past their deadline, and offers that no node took in time.
--
-- An expired lease alone ends no session. If nobody reaped for more than half of a
-- session's lease, then the database or all hubs were away and the node could not be
-- heard. Every such session first gets a fresh lease. So does a session whose lease
-- ends later than its full length from now: the clock was set back since.
--
-- One reaper runs at a time (the duty's row, skip locked); a second one does nothing.
-- Offers come last and are not waited for, so no lock is held while waiting for one of
-- lower rank. An offer that ends more than an hour from now is longer than any given.
-- It was made before the clock was set back, and counts as expired.
--
-- A job that cannot be written, because a foreign trigger or constraint refuses it,
-- fails its batch. Then each job is written by itself, and the answer lists those that
-- failed.
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
  v_lost     bigint[];
  v_late     bigint[];
  v_job      bigint;
  v_failed   json[] := '{}';
  v_why      text := 'the node''s lease or the job''s deadline passed';
begin
  select ticked_at into v_ticked from public.loom_leaders where duty = 'reaper' for update skip locked;
  if not found then
    return json_build_object('reaped', false, 'dead', '[]'::json, 'requeued', 0, 'expired_offers', 0, 'failed', '[]'::json);
  end if;
  update public.loom_leaders set ticked_at = v_now where duty = 'reaper';

  -- It waits for a session that is in use. If it skipped the session, the next call
  -- would declare it dead.
  with unwatched as materialized (
    select node from public.loom_node_sessions
     where not dead and (v_now - v_ticked > lease_ms * interval '0.5 millisecond'
                         or expires_at > v_now + lease_ms * interval '1 millisecond' + interval '1 second')
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
    insert into public.loom_event_batches (type, node, epoch) select 'node.dead', node, epoch from died
  )
  select coalesce(array_agg(node order by node), '{}') into v_dead from died;

  -- What a session holds is looked at when the session is dead, or when one of its jobs may be overdue. Sessions are
  -- locked before jobs, as everywhere.
  with checked as materialized (
    select node, epoch, dead, held from public.loom_node_sessions
     where dead and held <> '{}' or deadline_at <= v_now
     order by node
       for no key update skip locked
  ),
  job as materialized (
    select checked.node, found.*, checked.dead or found.epoch <> checked.epoch or found.deadline_at <= v_now as is_lost
      from checked, unnest(checked.held) as held(id)
     cross join lateral (
       select job.id, job.epoch, job.claimed_at + spec.timeout_ms * interval '1 millisecond' + interval '1 minute' as deadline_at
         from public.loom_jobs as job join public.loom_job_specs as spec on spec.id = job.spec
        where job.id = held.id and job.state = 'running' and job.ran_on = checked.node offset 0) as found
  ),
  kept as (
    -- One that is lost stays until a later call finds that it has gone back.
    update public.loom_node_sessions as session
       set held        = array(select id from job where job.node = session.node order by id),
           deadline_at = (select min(case when is_lost then v_now else job.deadline_at end) from job where job.node = session.node)
      from checked
     where session.node = checked.node
  )
  select coalesce(array_agg(id), '{}') into v_lost from (select id from job where is_lost limit p_limit) as lost;
  begin
    v_requeued := public.loom_requeue_jobs(v_lost, v_why);
  exception
    when lock_not_available or deadlock_detected then raise;
    when others then
      v_requeued := 0;
      -- Runs before jobs, both by id, as everywhere.
      for v_job in select id from public.loom_jobs where id = any(v_lost) order by run_id nulls last, id loop
        begin
          v_requeued := v_requeued + public.loom_requeue_jobs(array[v_job], v_why);
        exception
          when lock_not_available or deadlock_detected then raise;
          when others then
            v_failed := v_failed || json_build_object('job', v_job, 'problem', sqlerrm);
        end;
      end loop;
  end;

  v_late := array(
    (select job_id from public.loom_ready
      where offer_expires_at is not null and offer_expires_at <= v_now
      limit p_limit)
    union all
    (select job_id from public.loom_ready
      where offer_expires_at is not null and offer_expires_at > v_now + interval '1 hour'
      limit p_limit));
  begin
    v_offers := public.loom_expire_offers(v_late);
  exception when others then
    v_offers := 0;
    foreach v_job in array v_late loop
      begin
        v_offers := v_offers + public.loom_expire_offers(array[v_job]);
      exception when others then
        v_failed := v_failed || json_build_object('job', v_job, 'problem', sqlerrm);
      end;
    end loop;
  end;

  return json_build_object('reaped', true, 'dead', to_json(v_dead), 'requeued', v_requeued, 'expired_offers', v_offers,
                           'failed', to_json(v_failed));
end $$;

-- Gives back running jobs that their node has lost. The step is not to blame, so this
-- spends a crash restart, of which there is a limited number, and not an attempt.
--
-- Waiting for the locks of runs takes a while. A job that is no longer running was
-- settled meanwhile, and one that is no longer lost runs elsewhere by now: both stay as
-- they are. 'skip locked': the holder of the lock settles the job, or is another
-- reaper; the next call finds what it leaves. Only nodes of jobs that are given back
-- here are excluded, because only those jobs are locked and were lost.
create or replace function public.loom_requeue_jobs(p_jobs bigint[], p_why text)
  returns integer
  language plpgsql
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
declare
  v_now      timestamptz := clock_timestamp();
  v_requeued integer;
  v_finished bigint[];
  v_waiting  bigint[];
begin
  if p_jobs = '{}' then
    return 0;
  end if;
  perform public.loom_lock_runs(p_jobs);

  with lost as materialized (
    select id, ran_on as node, cancel_requested_at is not null as is_cancelled, crash_restarts >= max_crash_restarts as is_over
      from public.loom_jobs as job
     cross join lateral (
       select max_crash_restarts, timeout_ms from public.loom_job_specs where id = job.spec offset 0) as spec
     where id = any(p_jobs) and state = 'running'
       and (claimed_at + timeout_ms * interval '1 millisecond' + interval '1 minute' <= v_now
            or not exists (select from public.loom_node_sessions as session
                            where session.node = job.ran_on and session.epoch = job.epoch and not session.dead))
     order by id
       for no key update of job skip locked
  ),
  given_back as (
    update public.loom_jobs as job
       set state          = case when lost.is_cancelled then 'cancelled'
                                 when lost.is_over then 'failed'
                                 when job.host_pinned then 'pending'
                                 else 'waiting' end::public.loom_job_state,
           finished_at    = case when lost.is_cancelled or lost.is_over then v_now end,
           error          = case when lost.is_over and not lost.is_cancelled then
                              json_build_object('name', 'NodeLostError', 'code', 'NODE_LOST', 'message', format(
                                'the step was lost with its node %s times, the last time on %s: %s',
                                job.crash_restarts + 1, lost.node, p_why))::text
                               else job.error end,
           attempt        = job.attempt - 1,
           crash_restarts = job.crash_restarts + case when lost.is_over then 0 else 1 end,
           crashed_on     = array_append(job.crashed_on, lost.node),
           start_by       = null,
           target_host    = case when job.host_pinned or lost.is_cancelled or lost.is_over then job.target_host end,
           run_at         = v_now
      from lost
     where job.id = any(array[lost.id])
    returning job.id, job.run_id, job.state, job.finished_at, lost.node, job.fence
  ),
  event as (
    insert into public.loom_event_batches (type, state, node, detail, jobs, runs, fences)
    select 'job.requeued', state, node, p_why, array_agg(id order by id), array_agg(run_id order by id), array_agg(fence order by id)
      from given_back group by state, node, id / 10000
  )
  select count(*), coalesce(array_agg(id order by id) filter (where finished_at is not null), '{}'),
         coalesce(array_agg(id order by id) filter (where finished_at is null), '{}')
    into v_requeued, v_finished, v_waiting
    from given_back;

  perform public.loom_make_ready(v_waiting);
  perform public.loom_exclude_nodes(v_waiting);
  perform public.loom_advance_runs(v_finished);
  return v_requeued;
end $$;

-- Fails jobs that were not started while they were worth starting.
--
-- It runs in its own transaction, apart from reaping, because each locks jobs once.
-- Runs are locked first, then jobs, as everywhere. A locked job is being claimed or
-- placed, and the next call checks it again.
create or replace function public.loom_expire_jobs(p_limit integer default 500)
  returns json
  language plpgsql
  security definer
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
as $$
declare
  v_now     timestamptz := clock_timestamp();
  v_late    bigint[] := array(
    select job_id from public.loom_ready
     where start_by is not null and start_by <= v_now
     order by start_by limit p_limit);
  v_expired bigint[];
begin
  if v_late = '{}' then
    return json_build_object('expired', 0);
  end if;
  perform public.loom_lock_runs(v_late);
  with late as materialized (
    select job_id as id from public.loom_ready
     where job_id = any(v_late) and start_by <= v_now
     order by job_id
       for update skip locked
  ),
  free as materialized (
    select id from public.loom_jobs where id = any(array(select id from late)) order by id for no key update skip locked
  ),
  expired as (
    update public.loom_jobs as job
       set state       = 'failed',
           finished_at = v_now,
           error       = json_build_object('name', 'ExpiredError', 'code', 'EXPIRED', 'message', format(
                           'it was not started within %s ms', (
                             select start_within_ms from public.loom_job_specs where id = job.spec)))::text
      from free
     where job.id = any(array[free.id])
    returning job.id, job.run_id
  ),
  gone as (
    delete from public.loom_ready where job_id = any(array(select id from expired))
  ),
  event as (
    insert into public.loom_event_batches (type, state, jobs, runs)
    select 'job.expired', 'failed', array_agg(id order by id), array_agg(run_id order by id)
      from expired group by id / 10000
  )
  select coalesce(array_agg(id), '{}') into v_expired from expired;
  perform public.loom_advance_runs(v_expired);
  return json_build_object('expired', cardinality(v_expired));
end $$;

-- Gives back those of the given jobs that are still offers, because no node took them
-- in time. It skips locked offers: they are being claimed or declined.
create or replace function public.loom_expire_offers(p_jobs bigint[])
  returns integer
  language plpgsql
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
declare
  v_now    timestamptz := clock_timestamp();
  v_offers integer;
begin
  with expired as materialized (
    select job_id as id, host from public.loom_ready
     where job_id = any(p_jobs) and offer_expires_at is not null
       and (offer_expires_at <= v_now or offer_expires_at > v_now + interval '1 hour')
     order by job_id
       for update skip locked
  ),
  free as materialized (
    select id from public.loom_jobs where id = any(array(select id from expired)) order by id for no key update skip locked
  ),
  given_back as (
    update public.loom_jobs as job
       set state          = 'waiting',
           target_host    = null,
           waiting_reason = jsonb_build_object('code', 'offer_expired', 'summary',
                                format('%s did not take the offer in time; it is being placed again', job.target_host))
      from free
      join expired on expired.id = free.id
     where job.id = any(array[free.id])
    returning job.id, job.run_id, expired.host
  ),
  ready as (
    update public.loom_ready set host = null, offer_expires_at = null where job_id = any(array(select id from given_back))
  ),
  event as (
    insert into public.loom_event_batches (type, state, node, jobs, runs)
    select 'job.offer_expired', 'waiting', host, array_agg(id order by id), array_agg(run_id order by id)
      from given_back group by host, id / 10000
  )
  select count(*) into v_offers from given_back;
  return v_offers;
end $$;
