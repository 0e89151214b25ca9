-- The call of an agent: records how attempts ended, and takes what is due for the node, in one transaction. Each part
-- may be left out. The answer has 'settled' for the first part, and 'session' and what was claimed for the second.
--
-- Settling. p_ids, p_fences and p_results are the plain case, attempts that succeeded. They are written in one
--   statement, and 'plain' has the ids that were; null stands for all of them. What does not fit (another fence, no
--   JSON, too large, given back meanwhile) goes to loom_settle_items with p_items, and 'items' has its answers: first
--   for the rest of p_ids in their order, then for p_items. Each job is in one of the two, once. p_has_steps says that
--   some of them are steps of runs; it is a hint that saves a look.
--
-- Claiming. Takes up to p_limit due jobs that are offered to this node, lowest priority number first, then those that
--   are open to it (see loom_ready), and raises the fence of each. p_seq rises with every claim that brought jobs. A caller whose answer was lost repeats the number
--   and gets the same jobs again, without those that ended since. A late duplicate of an older call gets nothing. The
--   answer contains the last number that brought jobs: otherwise a caller whose answer was lost, and whose jobs have
--   gone back since, would repeat the number for ever. The session's row is locked first, so two copies of one call
--   run one after the other. An empty claim writes nothing.
--
--   A job whose concurrency key is full, or whose workflow is paused, stays where it is and does not block later jobs.
--   One call brings at most loom_limit('claim_bytes'), so that its answer arrives within the time of a call; the first
--   job always comes, because loom_refuse_results bounds it. 'more' says that there are further jobs.
--
--   'skip locked': the claim does not wait for a job that another call places, cancels or takes back.
--
-- p_renew: also renews the lease (loom_heartbeat), before everything else, and 'heartbeat' has its answer.
-- p_logs: output that goes with it: [{"job", "fence", "chunks"}, …]; 'logs' has the answers of loom_append_log.
--
-- The whole call may be repeated after a lost answer. Lock order: key, session, runs by id, jobs by id; then rows of
-- loom_ready, keys of concurrency, and the jobs that are claimed, of which locked ones are skipped.
create or replace function public.loom_exchange(
  p_node      text,
  p_epoch     bigint default null,
  p_seq       bigint default null,
  p_limit     integer default null,
  p_ids       bigint[] default null,
  p_fences    integer[] default null,
  p_results   text[] default null,
  p_has_steps boolean default true,
  p_items     json default null,
  p_renew     boolean default false,
  p_logs      json default null
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
  v_key       public.loom_node_keys := public.loom_acting_key(coalesce(p_node, ''));
  v_node      text := case when v_key.id is null then public.loom_acting_node(p_node) else v_key.node end;
  v_now       timestamptz := clock_timestamp();
  v_session   record;
  v_state     text;
  v_heartbeat json;
  v_logs      json;
  v_plain     json;
  v_items     json;
  v_settled   json;
  v_held      bigint[] := '{}';
  v_free      integer;
  v_ids       bigint[];
  v_open      bigint[] := '{}';
  v_fences    integer[];
  v_attempts  integer[];
  v_specs     integer[];
  v_inputs    text[];
  v_runs      uuid[];
  v_traces    text[];
  v_places    integer[];
  v_due       integer;
  v_is_keyed  boolean;
  v_is_wide   boolean;
  v_has_checkpoint boolean;
  v_more      boolean := false;
  v_seq       bigint;
begin
  if p_logs is not null then
    v_logs := (select json_agg(public.loom_append_log(v_node, job, fence, chunks)) from json_to_recordset(p_logs)
                 as given(job bigint, fence integer, chunks json));
  end if;
  if p_renew then
    v_heartbeat := public.loom_heartbeat(v_node, p_epoch);
  end if;

  if p_limit is not null then
    -- An idle poll takes no lock and writes nothing.
    if p_ids is null and p_items is null then
      select session.epoch, session.dead, session.last_claim_seq into v_session
        from public.loom_node_sessions as session where session.node = v_node;
      if v_session.epoch = p_epoch and not v_session.dead and p_seq > v_session.last_claim_seq
         and not exists (select from public.loom_ready where host = v_node and run_at <= v_now)
         and not exists (select from public.loom_ready where open_to is not null and v_node = any(open_to)) then
        return json_build_object('session', 'live', 'seq', v_session.last_claim_seq, 'heartbeat', v_heartbeat, 'logs', v_logs);
      end if;
    end if;
    select session.epoch, session.dead, session.last_claim_seq, session.held, node.slots, node.status
      into v_session
      from public.loom_node_sessions as session
      left join public.openclaw_instances as node on node.name = session.node
     where session.node = v_node
       for no key update of session;
    v_seq := v_session.last_claim_seq;
    v_state := case when v_session.epoch = p_epoch and not v_session.dead then 'live'
                    when v_session.epoch > p_epoch then 'superseded'
                    else 'dead' end;
  end if;

  if p_ids is not null or p_items is not null then
    if p_ids is not null
       and (cardinality(p_ids) > public.loom_limit('settlements_per_call') or cardinality(p_ids) is distinct from cardinality(p_fences)
            or cardinality(p_ids) is distinct from cardinality(p_results)) then
      raise exception 'settle at most % attempts at once, each with a fence and a result', public.loom_limit('settlements_per_call')
        using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'settle in smaller batches';
    end if;
    -- Where all is plain, the statement that writes locks the jobs, in their order. Where something will be looked at
    -- item by item, all jobs are locked before one is written, after their runs. A single success without a run needs
    -- neither: when it does not fit, nothing was locked.
    if p_items is not null or p_has_steps or cardinality(p_ids) > 1 then
      if p_items is not null or cardinality(p_ids) > (
           select count(*) from unnest(p_ids, p_fences) as item(id, fence)
            cross join lateral (
              select from public.loom_jobs
               where id = item.id and fence = item.fence and state = 'running' and ran_on = v_node offset 0) as job) then
        perform public.loom_lock_jobs(p_ids || public.loom_item_ids(p_items), v_node);
      elsif p_has_steps then
        perform public.loom_lock_runs(p_ids);
      end if;
    end if;
    if v_key.id is not null then
      -- The key may have been revoked while this call waited.
      v_key := public.loom_acting_key(p_node);
    end if;

    if p_ids is not null then
      if public.loom_are_json(p_results) then
        with settled as (
          update public.loom_jobs as job
             set state = 'succeeded', settled_fence = item.fence, result = coalesce(item.result, 'null'), error = null,
                 finished_at = v_now, start_by = null, waiting_reason = null
            from (select * from unnest(p_ids, p_fences, p_results) as given(id, fence, result) order by id) as item
           where job.id = item.id and job.fence = item.fence and job.state = 'running' and job.ran_on = v_node
             and (p_has_steps or job.run_id is null)
             and coalesce(octet_length(item.result) <= public.loom_limit('result_bytes'), true)
          returning job.id, job.fence, job.run_id
        )
        select array_agg(id), array_agg(fence), case when bool_or(run_id is not null) then array_agg(run_id) end
          into v_ids, v_fences, v_runs
          from settled;
        if v_ids is not null then
          insert into public.loom_event_batches (type, state, node, detail, jobs, fences, runs)
          values ('job.settled', 'succeeded', v_node, 'accepted', v_ids, v_fences, v_runs);
          if v_runs is not null then
            perform public.loom_advance_runs(v_ids);
          end if;
        end if;
      end if;
      v_ids := coalesce(v_ids, '{}');
      if cardinality(v_ids) < cardinality(p_ids) then
        v_plain := to_json(v_ids);
        v_items := (
          select json_agg(json_build_object('id', id, 'fence', fence, 'outcome', 'succeeded', 'result', result) order by ord)
            from unnest(p_ids, p_fences, p_results) with ordinality as item(id, fence, result, ord)
           where id <> all(v_ids));
      end if;
    end if;
    if v_items is not null then
      v_items := public.loom_settle_items(v_node, v_items);
    end if;
    if p_items is not null then
      v_items := (select json_agg(answer) from (
                    select json_array_elements(v_items) as answer
                    union all
                    select json_array_elements(public.loom_settle_items(v_node, p_items))) as answers);
    end if;
    v_settled := json_build_object('plain', v_plain, 'items', v_items);
    -- Steps that became ready by this are due for the claim.
    v_now := clock_timestamp();
  elsif v_key.id is not null then
    v_key := public.loom_acting_key(p_node);
  end if;
  if p_limit is null then
    return json_build_object('settled', v_settled, 'heartbeat', v_heartbeat, 'logs', v_logs);
  end if;

  if v_state <> 'live' then
    return json_build_object('session', v_state, 'settled', v_settled, 'heartbeat', v_heartbeat, 'logs', v_logs);
  end if;
  v_ids := '{}';
  v_runs := null;
  if p_seq > v_seq then
    if v_session.held <> '{}' then
      select coalesce(array_agg(job.id), '{}'), count(*) filter (where job.epoch = p_epoch)
        into v_held, v_free
        from unnest(v_session.held) as held(id)
       cross join lateral (
         select id, epoch from public.loom_jobs where id = held.id and state = 'running' and ran_on = v_node offset 0) as job;
    end if;
    v_free := greatest(least(p_limit, case when v_session.status = 'active' then v_session.slots else 0 end - coalesce(v_free, 0)), 0);
    if v_session.status <> 'active' then
      -- A hub may have made offers before it saw the new status.
      perform public.loom_return_offers(v_node, false, format('%s is %s', v_node, v_session.status));
    end if;

    if v_free > 0 then
      select coalesce(array_agg(job_id), '{}'), bool_or(concurrency_key is not null), bool_or(is_wide), bool_or(has_checkpoint)
        into v_ids, v_is_keyed, v_is_wide, v_has_checkpoint
        from (
          select job_id, concurrency_key, is_wide, has_checkpoint from public.loom_ready as ready
           where host = v_node and run_at <= v_now
             and (start_by is null or start_by > v_now)
             and workflow_id <> all (array(select workflow_id from public.loom_paused_workflows))
             and (concurrency_key is null or public.loom_key_has_place(concurrency_key))
           order by priority, run_at, job_id
           limit v_free
             for update skip locked) as due;
      if v_is_keyed then
        v_ids := public.loom_admit_jobs(v_ids);
      end if;
      if cardinality(v_ids) < v_free then
        select coalesce(array_agg(job_id), '{}'), coalesce(v_is_wide, false) or coalesce(bool_or(is_wide), false),
               coalesce(v_has_checkpoint, false) or coalesce(bool_or(has_checkpoint), false)
          into v_open, v_is_wide, v_has_checkpoint
          from (
            select job_id, is_wide, has_checkpoint from public.loom_ready as ready
             where open_to is not null and v_node = any(open_to) and open_until > v_now and run_at <= v_now
               and (start_by is null or start_by > v_now)
               and workflow_id <> all (array(select workflow_id from public.loom_paused_workflows))
             order by priority, open_until
             limit v_free - cardinality(v_ids)
               for update skip locked) as open;
        v_ids := v_ids || v_open;
      end if;
      if (v_is_wide or v_has_checkpoint) and cardinality(v_ids) > 1 then
        v_due := cardinality(v_ids);
        v_ids := public.loom_fitting_jobs(v_ids, v_has_checkpoint);
        v_more := cardinality(v_ids) < v_due;
      end if;
    end if;

    if v_ids <> '{}' then
      -- Whoever holds rows of loom_ready waits for no job: the holder of a job may want its row.
      v_ids := array(
        select id from public.loom_jobs
         where id = any(v_ids)
           and (state = 'pending' and target_host = v_node or state = 'waiting' and id = any(v_open))
         order by id
           for no key update skip locked);
      if v_open <> '{}' then
        perform public.loom_offer_open_jobs(v_node, v_ids, v_open);
      end if;
      with taken as (
        delete from public.loom_ready where job_id = any(v_ids)
      ),
      claimed as (
        update public.loom_jobs as job
           set state = 'running', fence = job.fence + 1, attempt = job.attempt + 1, ran_on = v_node, target_host = v_node,
               epoch = p_epoch, claim_seq = p_seq, claimed_at = v_now, waiting_reason = null
         where job.id = any(v_ids)
        returning job.*
      )
      select coalesce(array_agg(id order by priority, run_at, id), '{}'), array_agg(fence order by priority, run_at, id),
             array_agg(attempt order by priority, run_at, id), array_agg(spec order by priority, run_at, id),
             array_agg(payload order by priority, run_at, id),
             case when bool_or(run_id is not null) then array_agg(run_id order by priority, run_at, id) end,
             case when bool_or(traceparent is not null) then array_agg(traceparent order by priority, run_at, id) end,
             case when bool_or(item_index is not null) then array_agg(item_index order by priority, run_at, id) end
        into v_ids, v_fences, v_attempts, v_specs, v_inputs, v_runs, v_traces, v_places
        from claimed;
    end if;
    if v_ids <> '{}' then
      v_seq := p_seq;
      update public.loom_node_sessions
         set last_claim_seq = p_seq, held = v_held || v_ids,
             deadline_at = least(deadline_at, v_now + interval '1 minute' + interval '1 millisecond' * (
               select min(timeout_ms) from public.loom_job_specs where id = any(v_specs)))
       where node = v_node;
      insert into public.loom_event_batches (type, state, node, epoch, jobs, fences, runs)
      values ('job.claimed', 'running', v_node, p_epoch, v_ids, v_fences, v_runs);
    end if;
  elsif p_seq = v_seq then
    -- The answer was lost.
    select coalesce(array_agg(id order by priority, run_at, id), '{}'), array_agg(fence order by priority, run_at, id),
           array_agg(attempt order by priority, run_at, id), array_agg(spec order by priority, run_at, id),
           array_agg(payload order by priority, run_at, id),
           case when bool_or(run_id is not null) then array_agg(run_id order by priority, run_at, id) end,
           case when bool_or(traceparent is not null) then array_agg(traceparent order by priority, run_at, id) end,
           case when bool_or(item_index is not null) then array_agg(item_index order by priority, run_at, id) end
      into v_ids, v_fences, v_attempts, v_specs, v_inputs, v_runs, v_traces, v_places
      from public.loom_jobs
     where id = any(v_session.held) and state = 'running' and ran_on = v_node and epoch = p_epoch and claim_seq = p_seq;
    v_is_wide := true;
    v_has_checkpoint := true;
  end if;

  return json_build_object(
    'session', 'live', 'seq', v_seq, 'more', v_more, 'settled', v_settled, 'heartbeat', v_heartbeat, 'logs', v_logs,
    'jobs', case when v_ids <> '{}' then json_build_object(
      'id', v_ids, 'fence', v_fences, 'attempt', v_attempts, 'spec', v_specs, 'input', v_inputs, 'run', v_runs,
      'traceparent', v_traces, 'index', v_places) end,
    'specs', case when v_ids <> '{}' then (
      select json_object_agg(id, json_build_object(
               'workflow_id', workflow_id, 'step_id', step_id, 'requires', requires, 'max_attempts', max_attempts, 'timeout_ms', timeout_ms))
        from public.loom_job_specs where id = any(v_specs)) end,
    'runs', case when v_runs is not null then (
      select json_object_agg(id, json_build_object('version', version, 'input', input)) from public.loom_runs where id = any(v_runs)) end,
    'wide', case when v_is_wide and v_ids <> '{}' then public.loom_wide_parts(v_ids) end,
    'checkpoints', case when v_has_checkpoint and v_ids <> '{}' then (
      select json_object_agg(job_id, value) from public.loom_checkpoints where job_id = any(v_ids)) end);
end $$;

-- Notes that open jobs, of those in p_jobs, are offered to the node that claims them: their history reads as that of
-- other jobs.
create or replace function public.loom_offer_open_jobs(p_node text, p_jobs bigint[], p_open bigint[])
  returns void
  language plpgsql
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
as $$
begin
  with job as materialized (
    select id, run_id from public.loom_jobs where id = any(p_jobs) and id = any(p_open)
  ),
  detail as (
    insert into public.loom_job_details (job_id, placement)
    select id, jsonb_build_object('node', p_node, 'decidedBy', 'free') from job
    on conflict (job_id) do update set placement = excluded.placement
  )
  insert into public.loom_event_batches (type, state, node, jobs, runs)
  select 'job.offered', 'pending', p_node, array_agg(id order by id), array_agg(run_id order by id)
    from job group by id / 10000;
end $$;

-- What of claimed jobs is not in their row, by job: a long input or item, and the results of the steps that it needs, as
-- far as those succeeded.
create or replace function public.loom_wide_parts(p_jobs bigint[])
  returns json
  language plpgsql
  stable
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
begin
  return (
    select json_object_agg(job.id, json_build_object(
             'input', detail.payload,
             'results', case when spec.after <> '{}' then (
               select json_object_agg(earlier.step_id, earlier.result) from public.loom_jobs as earlier
                where earlier.run_id = job.run_id and earlier.step_id = any(spec.after) and earlier.item_of is null
                  and earlier.state = 'succeeded') end))
      from public.loom_jobs as job
     cross join lateral (select after from public.loom_job_specs where id = job.spec offset 0) as spec
      left join lateral (select payload from public.loom_job_details where job_id = job.id offset 0) as detail on true
     where job.id = any(p_jobs) and ((job.run_id is null or job.item_of is not null) and job.payload is null or spec.after <> '{}'));
end $$;

-- Selects, in the given order, as many of the jobs as loom_limit('claim_bytes') has room for, with their inputs and
-- the results of the steps that they need, and with their checkpoints if there may be some; at least the first.
create or replace function public.loom_fitting_jobs(p_jobs bigint[], p_checkpoints boolean default false)
  returns bigint[]
  language sql
  stable
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
  select array_agg(id order by ord)
    from (select given.id, given.ord, sum(coalesce(octet_length(coalesce(job.payload, detail.payload)), 0)
                 + coalesce(octet_length(run.input), 0) + coalesce((
                   select sum(octet_length(earlier.result)) from public.loom_jobs as earlier
                    where earlier.run_id = job.run_id and earlier.step_id = any(spec.after) and earlier.item_of is null), 0)
                 + case when p_checkpoints then coalesce((
                     select octet_length(value) from public.loom_checkpoints where job_id = job.id), 0) else 0 end) over (order by given.ord) as bytes
            from unnest(p_jobs) with ordinality as given(id, ord)
           cross join lateral (select id, run_id, spec, payload from public.loom_jobs where id = given.id offset 0) as job
           cross join lateral (select after from public.loom_job_specs where id = job.spec offset 0) as spec
            left join lateral (select payload from public.loom_job_details where job_id = given.id offset 0) as detail on true
            left join lateral (select input from public.loom_runs where id = job.run_id offset 0) as run on true) as sized
   where ord = 1 or bytes <= public.loom_limit('claim_bytes');
$$;
