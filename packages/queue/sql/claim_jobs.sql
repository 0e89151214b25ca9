-- Takes up to p_limit due jobs that are offered to this node, lowest priority
-- number first, and raises the fence of each.
--
-- The call has a memory: p_seq rises with every claim that brought something. A
-- caller whose answer was lost repeats the number and gets the same jobs again; a
-- late duplicate of an older call gets nothing. The answer says the last number that
-- brought jobs: when those have gone back meanwhile, a caller that never heard of them
-- would otherwise repeat it for ever. The session's row is locked first,
-- so two copies of one call come one after the other. An empty claim writes nothing.
--
-- A job whose concurrency key is full, or whose workflow is paused, stays where it is
-- and does not hold up those behind it. Whether a key is full is looked at twice: here
-- for that, and under the key's lock to be sure.
--
-- 'skip locked': a job that the reaper or a cancel holds at this moment is not
-- waited for; the condition is checked again once the lock is there.
create or replace function public.loom_claim_jobs(
  p_node  text,
  p_epoch bigint,
  p_seq   bigint,
  p_limit integer default 1
)
  returns json
  language plpgsql
  security definer
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
  set plan_cache_mode = force_generic_plan
  set lock_timeout = '5s'
as $$
declare
  v_node    text := public.loom_acting_node(p_node);
  v_now     timestamptz := clock_timestamp();
  v_session public.loom_node_sessions;
  v_status  text;
  v_free    integer;
  v_ids     bigint[];
  v_limited boolean;
begin
  -- The idle poll: no lock, no write.
  select * into v_session from public.loom_node_sessions where node = v_node;
  if v_session.epoch = p_epoch and not v_session.dead and p_seq > v_session.last_claim_seq
     and not exists (select from public.loom_job_queue
                      where state = 'pending' and target_host = v_node and run_at <= v_now) then
    return json_build_object('session', 'live', 'seq', v_session.last_claim_seq, 'jobs', '[]'::json);
  end if;

  select * into v_session from public.loom_node_sessions where node = v_node for no key update;
  if v_session.epoch is distinct from p_epoch or v_session.dead then
    return json_build_object(
      'session', case when v_session.epoch > p_epoch then 'superseded' else 'dead' end, 'jobs', '[]'::json);
  end if;

  if p_seq > v_session.last_claim_seq then
    select node.status, case when node.status = 'active' then node.slots else 0 end
           - (select count(*) from public.loom_job_queue where claimed_by = v_node and epoch = p_epoch)
      into v_status, v_free
      from public.openclaw_instances as node
     where node.name = v_node;
    if v_status <> 'active' then
      -- Offers of a hub that did not know yet.
      perform public.loom_return_offers(v_node, false, format('%s is %s', v_node, v_status));
    end if;

    select coalesce(array_agg(id), '{}'), coalesce(bool_or(concurrency_key is not null), false)
      into v_ids, v_limited
      from (
        select id, concurrency_key from public.loom_job_queue as job
         where state = 'pending' and target_host = v_node and run_at <= v_now
           and (start_by is null or start_by > v_now)
           and workflow_id <> all (array(select workflow_id from public.loom_paused_workflows))
           and (concurrency_key is null
                or concurrency_limit > (select count(*) from public.loom_job_queue as other
                                         where other.concurrency_key = job.concurrency_key and other.concurrency_key is not null
                                           and other.state in ('pending', 'running') and other.state = 'running'))
         order by priority, run_at, id
         limit greatest(least(p_limit, v_free), 0)
           for no key update skip locked) as due;
    if v_limited then
      v_ids := public.loom_admit_jobs(v_ids);
    end if;

    if v_ids <> '{}' then
      with claimed as (
      update public.loom_job_queue
         set state            = 'running',
             fence            = fence + 1,
             attempt          = attempt + 1,
             claimed_by       = v_node,
             ran_on           = v_node,
             epoch            = p_epoch,
             claim_seq        = p_seq,
             claimed_at       = v_now,
             -- The node ends the step at its timeout; this is for one that does not.
             deadline_at      = v_now + timeout_ms * interval '1 millisecond' + interval '1 minute',
             offer_expires_at = null,
             waiting_reason   = null
       where id = any(v_ids)
      returning id, run_id, fence
      )
      insert into public.loom_events (type, run_id, job_id, state, node, epoch, fence)
      select 'job.claimed', run_id, id, 'running', v_node, p_epoch, fence from claimed;
      update public.loom_node_sessions set last_claim_seq = p_seq where node = v_node;
      v_session.last_claim_seq := p_seq;
    end if;
  end if;

  -- Whole rows as JSON take two thirds of the time of naming each value, and a job without
  -- needs is not looked for any.
  return json_build_object('session', 'live', 'seq', v_session.last_claim_seq, 'jobs', (
    select coalesce(json_agg(claimed), '[]')
      from (
        select job.id, job.run_id, job.workflow_id, coalesce(run.version, '') as version, job.step_id, job.requires,
               job.fence, job.attempt, job.max_attempts, job.timeout_ms, job.traceparent, coalesce(job.payload, run.input) as input,
               case when job.after = '{}' then json '{}' else (
                 select coalesce(json_object_agg(earlier.step_id, earlier.result), '{}')
                   from public.loom_job_queue as earlier
                  where earlier.run_id = job.run_id and earlier.step_id = any(job.after)) end as results
          from public.loom_job_queue as job
          -- 'offset 0' keeps it a look-up by key: as a join it was planned, while there were few
          -- runs, as one that reads them all.
          left join lateral (
            select version, input from public.loom_runs where id = job.run_id offset 0) as run on true
         where job.claimed_by = v_node and job.epoch = p_epoch and job.claim_seq = p_seq
         order by job.priority, job.run_at, job.id) as claimed));
end $$;

revoke all on function public.loom_claim_jobs from public, anon, authenticated, service_role;
grant execute on function public.loom_claim_jobs to service_role;
