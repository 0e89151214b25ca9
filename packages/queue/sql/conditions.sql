-- Functions of authors that a hub calls for a suspended step: whether it runs, what it waits for, and whether its schema
-- takes the signal that came. A row in loom_suspended of kind 'condition' stands for one such call.

-- Takes steps whose condition is to be evaluated, with what it reads. Each take raises the fence of the step, and gives
-- the caller 30 s; after that, another hub takes it. So a hub that dies holds up nothing for longer.
--
-- 'skip locked': two hubs take different steps. It holds no lock but those of its rows, and waits for none.
create or replace function public.loom_take_conditions(p_limit integer default 20)
  returns json
  language plpgsql
  security definer
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
as $$
declare
  v_now timestamptz := clock_timestamp();
  v_ids bigint[] := array(
    select job_id from public.loom_suspended
     where kind = 'condition' and due_at <= v_now
     order by due_at
     limit least(greatest(p_limit, 1), public.loom_limit('conditions_per_call'))
       for update skip locked);
begin
  if v_ids = '{}' then
    return '[]';
  end if;
  v_ids := public.loom_fitting_jobs(v_ids);
  update public.loom_suspended
     set fence = fence + 1, due_at = v_now + interval '30 seconds'
   where job_id = any(v_ids);
  return (
    select json_agg(json_build_object(
             'id', job.id, 'fence', taken.fence, 'workflow_id', job.workflow_id, 'version', run.version, 'step_id', job.step_id,
             'requires', spec.requires, 'input', run.input, 'payload', taken.payload,
             'results', (select coalesce(json_object_agg(earlier.step_id, earlier.result), '{}') from public.loom_jobs as earlier
                          where earlier.run_id = job.run_id and earlier.step_id = any(spec.after) and earlier.item_of is null
                            and earlier.state = 'succeeded'))
           order by job.id)
      from public.loom_jobs as job
      join public.loom_suspended as taken on taken.job_id = job.id
      join public.loom_job_specs as spec on spec.id = job.spec
      join public.loom_runs as run on run.id = job.run_id
     where job.id = any(v_ids));
end $$;

-- Records what conditions decided, and answers for each item: accepted, or stale.
--
-- Items: {"id", "fence", "outcome": "runs" | "skips" | "ends" | "fails" | "later", "error": JSON as a string,
--         "reason": text, "delay_ms": integer, "result": JSON as a string, "until", "key", "shown"}. 'later': it could not
--         be evaluated yet. 'runs': a step that no node runs begins to wait, with what its functions returned
--         (loom_begin_waits). 'ends': its schema made this result of the signal that came.
--
-- Interleavings: a decision is written for the newest take of a step that is still suspended, under the job's lock. So a
-- hub that was away for longer than its 30 s is refused, a call that is repeated after a lost answer is 'stale' and
-- writes nothing, and of a decision and a cancel the first wins.
create or replace function public.loom_record_conditions(p_items json)
  returns json
  language plpgsql
  security definer
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
  set lock_timeout = '5s'
as $$
declare
  v_now      timestamptz := clock_timestamp();
  v_accepted bigint[];
  v_ready    bigint[];
  v_ended    bigint[];
  v_waits    bigint[];
begin
  if json_typeof(p_items) is distinct from 'array' or json_array_length(p_items) > public.loom_limit('conditions_per_call')
     or exists (select from json_to_recordset(p_items) as item(id bigint, fence integer, outcome text, error text, result text,
                   shown text, key text)
                 where id is null or fence is null or coalesce(outcome not in ('runs', 'skips', 'ends', 'fails', 'later'), true)
                    or octet_length(error) > public.loom_limit('error_bytes') or not public.loom_is_json(error)
                    or octet_length(result) > public.loom_limit('result_bytes') or not public.loom_is_json(result)
                    or (outcome = 'ends') <> (result is not null)
                    or octet_length(shown) > public.loom_limit('shown_bytes') or not public.loom_is_json(shown)
                    or length(key) > public.loom_limit('key_length')) then
    raise exception 'decisions are at most %, each with a fence, an outcome and what belongs to it', public.loom_limit('conditions_per_call')
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'record in smaller batches';
  end if;
  perform public.loom_lock_jobs(array(select id from json_to_recordset(p_items) as item(id bigint)));

  with item as materialized (
    select distinct on (item.id) item.*, spec.wait is not null as is_wait
      from json_to_recordset(p_items) as item(id bigint, fence integer, outcome text, error text, reason text, delay_ms bigint, result text)
      join public.loom_suspended as taken on taken.job_id = item.id and taken.fence = item.fence
      join public.loom_jobs as job on job.id = item.id
      join public.loom_job_specs as spec on spec.id = job.spec
     where job.state = 'suspended' and taken.kind = 'condition'
       and case item.outcome when 'ends' then taken.payload is not null
                             when 'fails' then true when 'later' then true else taken.payload is null end
     order by item.id
  ),
  postponed as (
    update public.loom_suspended as suspended
       set due_at = v_now + least(greatest(item.delay_ms, 0), public.loom_limit('delay_ms')) * interval '1 millisecond'
      from item
     where suspended.job_id = any(array[item.id]) and item.outcome = 'later'
  ),
  decided as (
    delete from public.loom_suspended where job_id = any(array(select id from item where outcome <> 'later' and not (outcome = 'runs' and is_wait)))
  ),
  written as (
    update public.loom_jobs as job
       set state          = case item.outcome
                              when 'later' then 'suspended'
                              when 'skips' then 'skipped'
                              when 'fails' then 'failed'
                              when 'ends' then 'succeeded'
                              else case when item.is_wait then 'suspended' when job.host_pinned then 'pending'
                                        else 'waiting' end end::public.loom_job_state,
           result         = item.result,
           skip_reason    = case when item.outcome = 'skips' then 'condition' end,
           error          = case when item.outcome = 'fails' then coalesce(item.error, 'null') end,
           run_at         = case when item.outcome = 'runs' then v_now else job.run_at end,
           start_by       = case when item.outcome = 'runs' and not item.is_wait then v_now + interval '1 millisecond' * (
                              select start_within_ms from public.loom_job_specs where id = job.spec) end,
           finished_at    = case when item.outcome in ('skips', 'fails', 'ends') then v_now end,
           waiting_reason = case when item.outcome = 'later' then jsonb_build_object('code', 'condition', 'summary', left(
                              'its condition cannot be evaluated yet: ' || coalesce(item.reason, 'for no known reason'),
                              public.loom_limit('note_length')::integer)) end
      from item
     where job.id = any(array[item.id])
    returning job.id, job.run_id, job.state, item.outcome, item.is_wait
  ),
  event as (
    insert into public.loom_event_batches (type, state, detail, jobs, runs)
    select case when outcome = 'runs' and is_wait then 'job.suspended' when outcome = 'runs' then 'job.resumed'
                when outcome = 'skips' then 'job.skipped' when outcome = 'ends' then 'job.woken' else 'job.refused' end, state,
           case outcome when 'runs' then case when is_wait then 'waits' end when 'skips' then 'condition'
                        when 'ends' then 'signalled' else 'CONDITION_FAILED' end,
           array_agg(id order by id), array_agg(run_id order by id)
      from written where outcome <> 'later' group by outcome, state, is_wait
  )
  select coalesce(array_agg(id), '{}'), coalesce(array_agg(id) filter (where outcome = 'runs' and not is_wait), '{}'),
         coalesce(array_agg(id) filter (where outcome = 'runs' and is_wait), '{}'),
         coalesce(array_agg(id) filter (where outcome in ('skips', 'fails', 'ends')), '{}')
    into v_accepted, v_ready, v_waits, v_ended
    from written;
  perform public.loom_begin_waits(v_waits, p_items);
  perform public.loom_make_ready(v_ready, true);
  perform public.loom_advance_runs(v_ended);
  return (
    select coalesce(json_agg(json_build_object('id', id, 'answer', case when id = any(v_accepted) then 'accepted' else 'stale' end)
                             order by ord), '[]')
      from rows from (json_to_recordset(p_items) as (id bigint)) with ordinality as item(id, ord));
end $$;
