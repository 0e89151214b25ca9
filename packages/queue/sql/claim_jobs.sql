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
  set lock_timeout = '5s'
as $$
declare
  v_node    text := public.loom_acting_node(p_node);
  v_now     timestamptz := clock_timestamp();
  v_session public.loom_node_sessions;
  v_free    integer;
  v_ids     bigint[];
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
    select case when node.status = 'active' then node.slots else 0 end
           - (select count(*) from public.loom_job_queue where claimed_by = v_node and epoch = p_epoch)
      into v_free
      from public.openclaw_instances as node
     where node.name = v_node;

    v_ids := array(
      select id from public.loom_job_queue
       where state = 'pending' and target_host = v_node and run_at <= v_now
       order by priority, run_at, id
       limit greatest(least(p_limit, v_free), 0)
         for no key update skip locked);

    if v_ids <> '{}' then
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
       where id = any(v_ids);
      update public.loom_node_sessions set last_claim_seq = p_seq where node = v_node;
      v_session.last_claim_seq := p_seq;
    end if;
  end if;

  return json_build_object('session', 'live', 'seq', v_session.last_claim_seq, 'jobs', (
    select coalesce(json_agg(json_build_object(
             'id', job.id, 'run_id', job.run_id, 'workflow_id', job.workflow_id, 'version', run.version,
             'step_id', job.step_id, 'requires', job.requires, 'fence', job.fence, 'attempt', job.attempt,
             'max_attempts', job.max_attempts, 'timeout_ms', job.timeout_ms, 'input', run.input,
             'results', (select coalesce(json_object_agg(earlier.step_id, earlier.result), '{}')
                           from public.loom_job_queue as earlier
                          where earlier.run_id = job.run_id and earlier.step_id = any(job.after)))
             order by job.priority, job.run_at, job.id), '[]')
      from public.loom_job_queue as job
      join public.loom_runs as run on run.id = job.run_id
     where job.claimed_by = v_node and job.epoch = p_epoch and job.claim_seq = p_seq));
end $$;

revoke all on function public.loom_claim_jobs from public, anon, authenticated, service_role;
grant execute on function public.loom_claim_jobs to service_role;
