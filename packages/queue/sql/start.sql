-- Starts a run: inserts the run and a row for every step in one transaction.
--
-- A repeated call with the same key returns the first call's run, so a caller whose
-- response was lost simply calls again. Two calls with one key at the same time: the
-- unique constraint makes the second wait, and it then finds the first's run.
--
-- With p_id, the run gets this id: something that was signed for it names it. A second call with the id
-- returns the first call's run too.
create or replace function public.loom_start_run(
  p_workflow text,
  p_version  text,
  p_input    text,
  p_jobs     json,
  p_trigger  text default 'api',
  p_key      text default null,
  p_asked_by text default null,
  p_retry_of uuid default null,
  p_raw_input text default null,
  p_id       uuid default null
)
  returns json
  language plpgsql
  security definer
  set search_path = ''
  set plan_cache_mode = force_generic_plan
  -- Specifications are found by their digest, whatever the statistics say.
  set enable_seqscan = off
  set enable_bitmapscan = off
as $$
declare
  v_now   timestamptz := clock_timestamp();
  v_run   uuid;
  v_specs json;
  v_spec_ids integer[];
  v_ready bigint[];
  v_is_suspended boolean;
begin
  if json_typeof(p_jobs) is distinct from 'array' or json_array_length(p_jobs) not between 1 and public.loom_limit('steps') then
    raise exception 'a run has 1 to % steps', public.loom_limit('steps')
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'split the workflow';
  end if;
  if greatest(octet_length(p_input), octet_length(p_raw_input)) > public.loom_limit('input_bytes') then
    raise exception 'the input of a run holds at most % bytes as JSON', public.loom_limit('input_bytes')
      using errcode = 'PT413', detail = 'INPUT_TOO_LARGE', hint = 'store the data elsewhere and pass a reference';
  end if;
  if not coalesce(public.loom_is_json(p_input), false) or not public.loom_is_json(p_raw_input) then
    raise exception 'the input of a run is JSON, nested at most % levels', public.loom_limit('json_depth')
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'send the output of JSON.stringify';
  end if;

  if length(p_workflow) > public.loom_limit('name_length') or length(p_version) > public.loom_limit('name_length')
     or length(p_key) not between 1 and public.loom_limit('key_length') or length(p_asked_by) > 300
     or p_workflow is null or p_version is null or coalesce(p_trigger not in ('api', 'manual', 'schedule'), true) then
    raise exception 'a run has a workflow and a version of at most % characters, and a key of 1 to %',
      public.loom_limit('name_length'), public.loom_limit('key_length')
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'check the lengths of what is sent';
  end if;

  insert into public.loom_runs (id, workflow_id, version, input, raw_input, trigger, idempotency_key, asked_by, retry_of, open_steps)
  values (coalesce(p_id, gen_random_uuid()), p_workflow, p_version, p_input, nullif(p_raw_input, p_input), p_trigger, p_key,
          p_asked_by, p_retry_of, json_array_length(p_jobs))
  on conflict do nothing
  returning id into v_run;

  if v_run is null then
    select id into v_run from public.loom_runs
     where (workflow_id = p_workflow and idempotency_key = p_key) or (id = p_id and workflow_id = p_workflow)
     order by idempotency_key = p_key desc nulls last
     limit 1;
    if v_run is null then
      raise exception 'another run has this id'
        using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'make a new id';
    end if;
    return json_build_object('run_id', v_run, 'returned', 'existing');
  end if;

  -- If a step needed a later one, its job would stay blocked for ever.
  if exists (
       with step as (
         select ord, e ->> 'step' as name, e -> 'after' as after
           from json_array_elements(p_jobs) with ordinality as t(e, ord)
       )
       select from step, json_array_elements_text(step.after) as needed
        where not exists (select from step as earlier where earlier.name = needed and earlier.ord < step.ord)) then
    raise exception 'a step needs a step that is not listed before it'
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'list each step after the steps that it needs';
  end if;
  if exists (
       select from json_array_elements(p_jobs) as e
        where json_typeof(e -> 'map') = 'object'
          and not exists (select from json_array_elements_text(e -> 'after') as needed where needed = e -> 'map' ->> 'step')) then
    raise exception 'a step maps over the result of a step that it does not need'
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'name that step in after';
  end if;
  if exists (
       select from json_array_elements(p_jobs) as e
        where length(e ->> 'concurrency_key') not between 1 and public.loom_limit('concurrency_key_length')
           or length(e ->> 'traceparent') > 200
           or (e ->> 'concurrency_key' is null) <> (e ->> 'concurrency_limit' is null)) then
    raise exception 'a concurrency key has 1 to % characters and a limit', public.loom_limit('concurrency_key_length')
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'check the lengths of what is sent';
  end if;

  with step as materialized (
    select ord, e, e ->> 'step' as step_id, array(select distinct json_array_elements_text(e -> 'after')) as after
      from json_array_elements(p_jobs) with ordinality as t(e, ord)
  ),
  edge as materialized (
    select needed, array_agg(step_id order by ord) as dependents
      from step, unnest(after) as needed
     group by needed
  )
  select json_agg(json_build_object(
           'workflow', p_workflow, 'step', step.step_id, 'after', step.after, 'dependents', coalesce(edge.dependents, '{}'),
           'requires', e -> 'requires', 'prefers', e -> 'prefers', 'priority', e -> 'priority',
           'start_within_ms', e -> 'start_within_ms', 'timeout_ms', e -> 'timeout_ms', 'max_attempts', e -> 'max_attempts',
           'max_crash_restarts', e -> 'max_crash_restarts', 'backoff_kind', e -> 'backoff_kind', 'backoff_ms', e -> 'backoff_ms',
           'backoff_max_ms', e -> 'backoff_max_ms', 'concurrency_limit', e -> 'concurrency_limit', 'runs_after', e -> 'runs_after',
           'optional', e -> 'optional', 'cascades', e -> 'cascades', 'has_condition', e -> 'has_condition',
           'map', e -> 'map', 'wait', e -> 'wait') order by ord)
    into v_specs
    from step
    left join edge on edge.needed = step.step_id;
  -- A statement of its own: the next one has to see what it stores.
  v_spec_ids := public.loom_intern_specs(v_specs);

  with created as (
    insert into public.loom_jobs (
      run_id, workflow_id, step_id, spec, waits_for, host_pinned, target_host, priority, run_at, start_by, concurrency_key,
      traceparent, state)
    select v_run, p_workflow, spec.step_id, spec.id, nullif(cardinality(spec.after), 0), e ->> 'host' is not null, e ->> 'host',
           spec.priority, v_now,
           case when cardinality(spec.after) = 0 and not spec.suspends then v_now + spec.start_within_ms * interval '1 millisecond' end,
           e ->> 'concurrency_key', e ->> 'traceparent',
           case when cardinality(spec.after) > 0 then 'blocked'
                when spec.suspends then 'suspended'
                when e ->> 'host' is not null then 'pending'
                else 'waiting' end::public.loom_job_state
      from json_array_elements(p_jobs) with ordinality as t(e, ord)
     cross join lateral (
       select id, step_id, after, priority, start_within_ms, has_condition or wait is not null as suspends
         from public.loom_job_specs where id = v_spec_ids[ord] offset 0) as spec
     order by ord
    returning id, state, target_host
  ),
  event as (
    insert into public.loom_event_batches (type, run_id, state, node, detail, jobs)
    select type, v_run, state, target_host, detail, jobs
      from (select 'run.started' as type, 'running' as state, null as target_host, p_workflow as detail, null::bigint[] as jobs
             union all
            select 'job.created', state::text, target_host, null, array_agg(id order by id) from created group by state, target_host) as event
     order by jobs[1] nulls first
  )
  select array_agg(id) filter (where state <> 'blocked'), coalesce(bool_or(state = 'suspended'), false)
    into v_ready, v_is_suspended from created;
  perform public.loom_make_ready(v_ready);
  if v_is_suspended then
    perform public.loom_suspend(v_ready);
  end if;

  perform public.loom_use_files(v_run, p_input);
  return json_build_object('run_id', v_run, 'returned', 'created');
end $$;

-- Whether a text is JSON that every reader can parse: well formed, and not nested
-- deeper than loom_limit('json_depth'), because printing deeper values overflows a
-- reader's stack.
--
-- The text is parsed and discarded. jsonb would refuse values that are kept as text on
-- purpose (\u0000), and Postgres 15 has no "is json".
create or replace function public.loom_is_json(p_text text)
  returns boolean
  language plpgsql
  immutable
  strict
  set search_path = ''
as $$
declare
  v_rest text;
begin
  perform p_text::json;
  -- The depth is at most the number of opening brackets, which is cheap to count.
  if length(p_text) - length(translate(p_text, '[{', '')) <= public.loom_limit('json_depth') then
    return true;
  end if;
  -- Keeps only the brackets outside strings; each round removes the innermost pairs.
  v_rest := translate(regexp_replace(regexp_replace(p_text, '"([^"\\]|\\.)*"', '', 'g'), '[^][{}]+', '', 'g'), '{}', '[]');
  for v_round in 1 .. public.loom_limit('json_depth') loop
    v_rest := replace(v_rest, '[]', '');
    exit when v_rest = '';
  end loop;
  return v_rest = '';
exception
  -- The text is not JSON, or nested so deeply that Postgres itself fails.
  when data_exception or program_limit_exceeded then
    return false;
end $$;
