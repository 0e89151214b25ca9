-- Returns the steps of a run with what they say of themselves. Steps are joined with steps by the functions that call
-- it, up to 10,000 with 10,000; here each is one lookup.
create or replace function public.loom_run_steps(p_run uuid)
  returns table (job public.loom_jobs, spec public.loom_job_specs)
  language sql
  stable
  rows 10000
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
  select job, found.known
    from public.loom_jobs as job
   cross join lateral (select known from public.loom_job_specs as known where known.id = job.spec offset 0) as found
   where job.run_id = p_run and job.item_of is null;
$$;

-- Selects the steps that a retry of a run repeats. This is the only place that selects
-- them.
--
--   all     every step
--   failed  the steps that failed, were cancelled or could not run for that, and every step that depends on one of
--           them; the others are taken over as they ended
--   from    the same, and the step p_step with every step that depends on it
--
-- An optional step that failed has done no harm to the others, so it is repeated only with mode all.
create or replace function public.loom_retry_steps(p_run uuid, p_mode text, p_step text)
  returns text[]
  language sql
  stable
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
  -- A nested loop would compare every step with every other.
  set enable_nestloop = off
as $$
  with recursive edge as materialized (
    select (step.job).step_id, unnest((step.spec).dependents) as next from public.loom_run_steps(p_run) as step
  ),
  redo as (
    select (step.job).step_id from public.loom_run_steps(p_run) as step
     where p_mode = 'all' or (step.job).step_id = p_step
        or public.loom_outcome((step.job).state, (step.job).skip_reason, (step.spec).is_optional, (step.spec).cascades) = 'failed'
    union
    select edge.next from redo join edge on edge.step_id = redo.step_id
  )
  select array_agg(step_id) from redo;
$$;

-- Lists the steps that a retry would store, in the order of the workflow. Null if the
-- run does not exist. It changes nothing, and does not check that the run is finished;
-- loom_retry_run does.
create or replace function public.loom_preview_retry(
  p_run  uuid,
  p_mode text,
  p_step text default null,
  p_version text default null
)
  returns json
  language plpgsql
  stable
  security definer
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
  -- As in loom_retry_steps.
  set enable_nestloop = off
as $$
begin
  return (
  with redo as materialized (
    select unnest(public.loom_retry_steps(p_run, p_mode, p_step)) as step_id
  ),
  -- Taken apart first: else each step's needs were joined with all of redo by themselves.
  edge as materialized (
    select (step.job).step_id, needed.step_id as needed, needed.at
      from public.loom_run_steps(p_run) as step, unnest((step.spec).after) with ordinality as needed (step_id, at)
  ),
  need as materialized (
    select edge.step_id, array_agg(edge.needed order by edge.at) as needs
      from edge
      join redo as first on first.step_id = edge.needed
     group by edge.step_id
  )
  select (select coalesce(json_agg(json_build_object(
                   'step_id', redo.step_id,
                   'after', coalesce(need.needs, '{}'),
                   'requires', array_replace((step.spec).requires, format('workflow:%s@%s', run.workflow_id, run.version),
                                             format('workflow:%s@%s', run.workflow_id, coalesce(p_version, run.version))),
                   'wait', (step.spec).wait, 'host', case when (step.job).host_pinned then (step.job).target_host end) order by (step.job).id), '[]')
            from public.loom_run_steps(p_run) as step
            join redo on redo.step_id = (step.job).step_id
            left join need on need.step_id = (step.job).step_id)
    from public.loom_runs as run
   where run.id = p_run);
end $$;

-- Repeats a finished run as a new one. The old run stays as it ended. loom_retry_steps
-- selects the steps, and the results of the others are taken over.
--
-- A repeated call with the same key returns the first call's run.
--
-- With p_version, the new run belongs to that version of the workflow's code: its steps
-- require that version of their node in place of the old one. Without p_version, only a
-- node that still has the old code can run it.
--
-- With p_id and p_input, the new run gets this id and this input instead of the old one's: what was signed for the
-- old run is signed anew.
create or replace function public.loom_retry_run(
  p_run  uuid,
  p_mode text,
  p_step text default null,
  p_key  text default null,
  p_version text default null,
  p_traceparent text default null,
  p_id   uuid default null,
  p_input text default null
)
  returns json
  language plpgsql
  security definer
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
  -- A nested loop would compare every step with every other.
  set enable_nestloop = off
as $$
declare
  v_now  timestamptz := clock_timestamp();
  v_old  public.loom_runs;
  v_new  uuid;
  v_redo text[];
  v_specs json;
  v_spec_ids integer[];
  v_made bigint[];
  v_refused bigint[];
begin
  select * into v_old from public.loom_runs where id = p_run;
  if not found then
    return null;
  end if;
  if v_old.status = 'running' then
    raise exception 'the run is not finished'
      using errcode = 'PT409', detail = 'RUN_NOT_FINISHED', hint = 'cancel it first, or wait';
  end if;
  if p_mode not in ('all', 'failed', 'from') or (p_mode = 'from') <> (p_step is not null) then
    raise exception 'retry all, failed, or from a step'
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'name a step with mode "from", and only with it';
  end if;
  if p_step is not null and not exists (
       select from public.loom_jobs where run_id = p_run and step_id = p_step and item_of is null) then
    raise exception 'the run has no step with this name'
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'name a step of the run';
  end if;

  v_redo := public.loom_retry_steps(p_run, p_mode, p_step);
  if v_redo is null then
    raise exception 'the run has no step to retry: every step succeeded'
      using errcode = 'PT409', detail = 'NOTHING_TO_RETRY', hint = 'retry all, or from a step';
  end if;

  if length(p_version) > public.loom_limit('name_length') or length(p_key) not between 1 and public.loom_limit('key_length')
     or length(p_traceparent) > 200 then
    raise exception 'a version has at most % characters, and a key 1 to %', public.loom_limit('name_length'), public.loom_limit('key_length')
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'check the lengths of what is sent';
  end if;
  if octet_length(p_input) > public.loom_limit('input_bytes') then
    raise exception 'the input of a run holds at most % bytes as JSON', public.loom_limit('input_bytes')
      using errcode = 'PT413', detail = 'INPUT_TOO_LARGE', hint = 'store the data elsewhere and pass a reference';
  end if;
  if not public.loom_is_json(p_input) then
    raise exception 'the input of a run is JSON, nested at most % levels', public.loom_limit('json_depth')
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'send the output of JSON.stringify';
  end if;
  insert into public.loom_runs (id, workflow_id, version, input, raw_input, trigger, idempotency_key, asked_by, retry_of, open_steps)
  values (coalesce(p_id, gen_random_uuid()), v_old.workflow_id, coalesce(p_version, v_old.version), coalesce(p_input, v_old.input),
          case when p_input is null then v_old.raw_input else coalesce(v_old.raw_input, v_old.input) end, 'manual', p_key,
          v_old.asked_by, p_run, cardinality(v_redo))
  on conflict do nothing
  returning id into v_new;
  if v_new is null then
    select id into v_new from public.loom_runs
     where (workflow_id = v_old.workflow_id and idempotency_key = p_key) or (id = p_id and workflow_id = v_old.workflow_id)
     order by idempotency_key = p_key desc nulls last
     limit 1;
    if v_new is null then
      raise exception 'another run has this id'
        using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'make a new id';
    end if;
    return json_build_object('run_id', v_new, 'returned', 'existing');
  end if;

  -- A statement of its own: the next one has to see what it stores.
  v_specs := (
    select json_agg(json_build_object(
             'workflow', (spec).workflow_id, 'step', (spec).step_id, 'after', (spec).after, 'dependents', (spec).dependents,
             'requires', array_replace((spec).requires, format('workflow:%s@%s', v_old.workflow_id, v_old.version),
                                       format('workflow:%s@%s', v_old.workflow_id, coalesce(p_version, v_old.version))),
             'prefers', (spec).prefers, 'priority', (spec).priority, 'start_within_ms', (spec).start_within_ms,
             'timeout_ms', (spec).timeout_ms, 'max_attempts', (spec).max_attempts, 'max_crash_restarts', (spec).max_crash_restarts,
             'backoff_kind', (spec).backoff_kind, 'backoff_ms', (spec).backoff_ms, 'backoff_max_ms', (spec).backoff_max_ms,
             'concurrency_limit', (spec).concurrency_limit, 'runs_after', (spec).runs_after, 'optional', (spec).is_optional,
             'cascades', (spec).cascades, 'has_condition', (spec).has_condition, 'map', (spec).map, 'wait', (spec).wait) order by (job).id)
      from public.loom_run_steps(p_run));
  v_spec_ids := public.loom_intern_specs(v_specs);

  with redo as materialized (
    select unnest(v_redo) as step_id
  ),
  need as materialized (
    select edge.step_id, count(*)::integer as needs
      from (select (step.job).step_id, unnest((step.spec).after) as needed from public.loom_run_steps(p_run) as step) as edge
      join redo as first on first.step_id = edge.needed
     group by edge.step_id
  ),
  old as materialized (
    select step.job, step.spec, redo.step_id is not null as is_redone, coalesce(need.needs, 0) as needs,
           row_number() over (order by (step.job).id) as ord
      from public.loom_run_steps(p_run) as step
      left join redo on redo.step_id = (step.job).step_id
      left join need on need.step_id = (step.job).step_id
  ),
  created as (
    insert into public.loom_jobs (
      run_id, workflow_id, step_id, spec, waits_for, host_pinned, target_host, priority, run_at, start_by, concurrency_key,
      traceparent, state, ran_on, result, error, skip_reason, claimed_at, finished_at)
    select v_new, (job).workflow_id, (job).step_id, v_spec_ids[ord], case when is_redone then nullif(needs, 0) end,
           (job).host_pinned, case when (job).host_pinned or not is_redone then (job).target_host end, (job).priority, v_now,
           case when is_redone and needs = 0 and not (spec).has_condition and (spec).wait is null then v_now + (spec).start_within_ms * interval '1 millisecond' end,
           case when is_redone then (job).concurrency_key end, case when is_redone then p_traceparent end,
           case when not is_redone then (job).state::text
                when needs > 0 then 'blocked'
                when (spec).has_condition or (spec).wait is not null then 'suspended'
                when (spec).map is not null then 'mapping'
                when (job).host_pinned then 'pending'
                else 'waiting' end::public.loom_job_state,
           case when not is_redone then (job).ran_on end,
           case when not is_redone then (job).result end,
           case when not is_redone then (job).error end,
           case when not is_redone then (job).skip_reason end,
           case when not is_redone then (job).claimed_at end,
           case when not is_redone then (job).finished_at end
      from old
     order by ord
    returning id, state, target_host
  ),
  event as (
    insert into public.loom_event_batches (type, run_id, state, node, detail, jobs)
    select type, v_new, state, target_host, detail, jobs
      from (select 'run.started' as type, 'running' as state, null as target_host, v_old.workflow_id as detail, null::bigint[] as jobs
             union all
            select 'job.created', state::text, target_host, null, array_agg(id order by id) from created group by state, target_host) as event
     order by jobs[1] nulls first
  )
  select coalesce(array_agg(id) filter (where state in ('mapping', 'waiting', 'pending', 'suspended')), '{}') into v_made from created;
  -- If the old run failed because its results were too large, the taken-over results
  -- still are.
  v_refused := public.loom_refuse_results(v_made);
  -- A step that is not repeated keeps its counts. Of one that is, with the list that it had, the items that succeeded
  -- are taken over.
  insert into public.loom_maps (job_id, is_due, total, tolerated, made, released, succeeded, failed, cancelled, result_bytes,
                                nodes, items_of)
  select job.id, job.state = 'mapping', kept.total, kept.tolerated, coalesce(kept.made, 0), coalesce(kept.released, 0),
         coalesce(kept.succeeded, 0), coalesce(kept.failed, 0), coalesce(kept.cancelled, 0), coalesce(kept.result_bytes, 0),
         coalesce(kept.nodes, '{}'), case when p_mode <> 'all' and job.step_id is distinct from p_step then old.id end
    from public.loom_run_steps(v_new) as step
   cross join lateral (select (step.job).*) as job
   cross join lateral (
     select id from public.loom_jobs where run_id = p_run and step_id = job.step_id and item_of is null offset 0) as old
    left join lateral (
      select * from public.loom_maps where job_id = old.id and job.state = 'succeeded' offset 0) as kept on true
   where (step.spec).map is not null and job.state in ('mapping', 'succeeded');
  -- A step goes on from its checkpoint, unless something that it reads is made anew, or the caller wants it anew.
  if p_mode <> 'all' then
    perform public.loom_copy_checkpoints(array_agg(job.id), array_agg(old.id))
       from public.loom_jobs as job
      cross join lateral (
        select id from public.loom_jobs where run_id = p_run and step_id = job.step_id and item_of is null offset 0) as old
      where job.id = any(v_made) and job.step_id is distinct from p_step;
  end if;
  -- What is taken over may name files of the old run, whose row is locked since it is the new one's retry_of.
  perform public.loom_take_over_files(p_run, v_new);
  perform public.loom_make_ready(v_made, true);
  perform public.loom_suspend(v_made);
  perform public.loom_advance_runs(v_refused);
  return json_build_object('run_id', v_new, 'returned', 'created');
end $$;
