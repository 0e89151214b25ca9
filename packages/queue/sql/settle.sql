-- Records the outcomes of attempts, advances their runs, and answers for each item. loom_exchange calls it for what is
-- not plain.
--
--   accepted   the caller owned the job, and this is its outcome
--   salvaged   the job had been given back, but no node has claimed it since: the work counts
--   duplicate  this claim was settled before; nothing was written
--   stale      a newer claim exists, or the job is over; only the refusal was written
--   unknown    this node has no such job; another node may have it
--   too_large  result over result_bytes or error over error_bytes; the caller still owns the job
--   invalid    the item cannot be read, or its result or error is not JSON (loom_is_json);
--              the caller still owns the job
--
-- Items: {"id", "fence", "outcome": "succeeded" | "failed" | "released" | "declined",
--         "result" | "error": JSON as a string, "retryable": boolean, "delay_ms": integer, "reason": text}
-- One bad item never fails the others, and nothing is stored that a reader could not
-- read.
--
-- Interleavings:
-- - Two settles of one claim: the second waits for the job's lock and finds the settled
--   fence.
-- - Settle against reaper: the first to lock wins. The reaper skips a locked job. A
--   settle that comes second finds the job waiting (salvaged) or claimed again (stale).
-- - Two last steps of a run: the run's lock is taken first.
-- - Two claims of one job in one batch, from a replayed journal: each is settled by its
--   fence.
-- Only jobs that the node ran last are locked, so it delays no other node's jobs.
create or replace function public.loom_settle_items(p_node text, p_items json)
  returns json
  language plpgsql
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
  set plan_cache_mode = force_generic_plan
as $$
declare
  v_node     text := p_node;
  v_now      timestamptz := clock_timestamp();
  v_items    json := p_items;
  v_answer   json;
  v_own      bigint[];
  v_finished bigint[];
  v_back     bigint[];
  v_salvaged bigint[];
begin
  if json_typeof(p_items) is distinct from 'array' or json_array_length(p_items) > public.loom_limit('settlements_per_call') then
    raise exception 'items are an array of at most %', public.loom_limit('settlements_per_call')
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'settle in smaller batches';
  end if;

  -- An item that is not an object, or has a string that Postgres cannot extract,
  -- becomes {}. The whole batch is checked first: checking 100 items one by one costs
  -- as much as everything else.
  if strpos(p_items::text, '\u') > 0
     or exists (select from json_array_elements(p_items) as e where json_typeof(e) <> 'object') then
    v_items := (
      select json_agg(case when json_typeof(e) = 'object' and public.loom_is_extractable(e) then e else '{}' end order by ord)
        from json_array_elements(p_items) with ordinality as t(e, ord));
  end if;

  v_own := public.loom_lock_jobs(public.loom_item_ids(v_items), v_node);
  -- The key may have been revoked while this call waited.
  v_node := public.loom_acting_node(p_node);

  -- No join here compares every item with every other, which took 300 ms for 500 items.
  -- Each step passes on what the next one needs, and finds rows of the table by their
  -- id.
  with raw as materialized (
    select t.*,
           -- ltrim takes a fifth of the time of a regular expression.
           coalesce(ltrim(id::text, '0123456789') = '' and length(id::text) <= 18
                    and ltrim(fence::text, '0123456789') = '' and length(fence::text) <= 9
                    and outcome::text in ('"succeeded"', '"failed"', '"released"', '"declined"')
                    and coalesce(json_typeof(result), 'string') = 'string'
                    and coalesce(json_typeof(error), 'string') = 'string'
                    and coalesce(json_typeof(reason), 'string') = 'string'
                    and (delay_ms is null or case when delay_ms::text ~ '^[0-9]{1,12}$'
                                                   then delay_ms::text::bigint <= public.loom_limit('delay_ms') else false end)
                    and coalesce(retryable::text, 'true') in ('true', 'false'), false) as is_valid
      from rows from (json_to_recordset(v_items) as (
             id json, fence json, outcome json, result json, error json, reason json, delay_ms json, retryable json))
           with ordinality as t(id, fence, outcome, result, error, reason, delay_ms, retryable, ord)
  ),
  item as materialized (
    select distinct on (id::text::bigint, fence::text::integer)
           ord, id::text::bigint as id, fence::text::integer as fence, btrim(outcome::text, '"') as outcome,
           result #>> '{}' as result, error #>> '{}' as error, reason #>> '{}' as reason,
           coalesce(retryable::text, 'true') = 'true' as retryable, delay_ms::text::bigint as delay_ms
      from raw where is_valid
     order by id::text::bigint, fence::text::integer, ord
  ),
  decided as materialized (
    select item.*,
           case when job.ran_on is distinct from v_node then 'unknown'
                -- Also when it was claimed again since.
                when job.settled_fence = item.fence and item.fence > 0 then 'duplicate'
                when job.fence <> item.fence then 'stale'
                when octet_length(item.result) > public.loom_limit('result_bytes')
                  or octet_length(item.error) > public.loom_limit('error_bytes') then 'too_large'
                when not public.loom_is_json(item.result) or not public.loom_is_json(item.error) then 'invalid'
                when job.state = 'running' then 'accepted'
                when job.state in ('waiting', 'pending') and item.outcome = 'succeeded' then 'salvaged'
                else 'stale' end as answer,
           case when item.outcome = 'succeeded' then 'succeeded'
                when job.cancel_requested_at is not null then 'cancelled'
                when item.outcome = 'failed' and (not item.retryable or job.attempt >= spec.max_attempts) then 'failed'
                end as final_state,
           spec.backoff_kind, spec.backoff_ms, spec.backoff_max_ms
      from item
      left join lateral (
        select ran_on, fence, settled_fence, state, cancel_requested_at, attempt, spec
          from public.loom_jobs where id = item.id and id = any(v_own) offset 0) as job on true
      left join lateral (
        select max_attempts, backoff_kind, backoff_ms, backoff_max_ms
          from public.loom_job_specs where id = job.spec offset 0) as spec on true
  ),
  written as (
    update public.loom_jobs as job
       set settled_fence    = decided.fence,
           state            = coalesce(decided.final_state, case when job.host_pinned then 'pending' else 'waiting' end)::public.loom_job_state,
           finished_at      = case when decided.final_state is not null then v_now end,
           result           = case when decided.outcome = 'succeeded' then coalesce(decided.result, 'null') end,
           -- A job that is given back keeps the error of its last failure.
           error            = case when decided.outcome = 'failed' then decided.error
                                   when decided.outcome <> 'succeeded' then job.error end,
           -- A salvaged job got its attempt back when it was given back; a released job
           -- gets it back now.
           attempt          = job.attempt + case when decided.answer = 'salvaged' then 1
                                                 when decided.outcome in ('released', 'declined') then -1
                                                 else 0 end,
           run_at           = case when decided.final_state is not null then job.run_at
                                   when decided.outcome in ('released', 'declined')
                                     then v_now + greatest(
                                       public.loom_give_back_pause(job.fence - job.attempt),
                                       -- No other node may take a pinned job, so its node
                                       -- is asked less and less often.
                                       case when decided.outcome = 'declined' and job.host_pinned
                                            then coalesce(decided.delay_ms, 5000) * interval '1 millisecond'
                                                 * power(2, least(coalesce(cardinality(array_positions(job.declined_by, v_node)), 0), 6))
                                            else coalesce(decided.delay_ms, 0) * interval '1 millisecond' end)
                                   when decided.delay_ms is not null then v_now + decided.delay_ms * interval '1 millisecond'
                                   else v_now + public.loom_backoff(decided.backoff_kind, job.attempt, decided.backoff_ms, decided.backoff_max_ms)
                              end,
           waiting_reason   = case when decided.final_state is null and decided.reason is not null then
                                jsonb_build_object('code', decided.outcome, 'summary', left(decided.reason, public.loom_limit('note_length')::integer)) end,
           target_host      = case when decided.answer = 'salvaged' then v_node
                                   when decided.final_state is not null or job.host_pinned then job.target_host end,
           declined_by      = case when decided.outcome = 'declined'
                                   then (array_append(job.declined_by, v_node))[greatest(1, cardinality(job.declined_by) - 18):]
                                   else job.declined_by end,
           -- The time limit for starting a job ends with its first start.
           start_by         = case when decided.outcome = 'declined' then job.start_by end
      from decided
     where job.id = any(array[decided.id]) and decided.answer in ('accepted', 'salvaged')
    returning decided.ord, job.id, decided.fence, decided.answer, job.state::text as state, job.run_id
  ),
  event as (
    insert into public.loom_event_batches (type, state, node, detail, jobs, runs, fences)
    select 'job.settled', state, v_node, answer, array_agg(id order by id), array_agg(run_id order by id), array_agg(fence order by id)
      from written group by state, answer
  ),
  answered as materialized (
    select ord, id, fence, answer, state, run_id from written
     union all
    select ord, id, fence, answer, null, null from decided where answer not in ('accepted', 'salvaged')
  ),
  -- The first of several items about one claim counts; the others repeat it.
  twin as (
    select ord, id::text::bigint as id, fence::text::integer as fence
      from raw where is_valid and ord not in (select ord from item)
  )
  select coalesce(json_agg(json_build_object('id', id, 'fence', fence, 'answer', answer, 'state', state) order by ord), '[]'),
         coalesce(array_agg(id order by id) filter (where run_id is not null and state not in ('waiting', 'pending')), '{}'),
         coalesce(array_agg(id order by id) filter (where state in ('waiting', 'pending')), '{}'),
         coalesce(array_agg(id order by id) filter (where answer = 'salvaged'), '{}')
    into v_answer, v_finished, v_back, v_salvaged
    from (select * from answered
           union all
          select twin.ord, id, fence, case when state is null then answer else 'duplicate' end, null, null
            from twin join answered using (id, fence)
           union all
          select ord, null, null, 'invalid', null, null from raw where not is_valid) as said;

  if v_salvaged <> '{}' then
    delete from public.loom_ready where job_id = any(v_salvaged);
  end if;
  if v_back <> '{}' then
    perform public.loom_make_ready(v_back);
    if strpos(p_items::text, '"declined"') > 0 then
      perform public.loom_exclude_nodes(v_back, v_node);
    end if;
  end if;
  perform public.loom_advance_runs(v_finished);

  -- Nothing happened to the job: the node settles a job that is no longer its own.
  if strpos(v_answer::text, '"stale"') > 0 and public.loom_count_event((public.loom_acting_key(v_node)).id) then
    insert into public.loom_event_batches (type, node, jobs, fences, detail)
    select 'node.settle_refused', v_node, array[null::bigint], array[fence], format('job %s', id)
      from json_to_recordset(v_answer) as t(id bigint, fence integer, answer text)
     where answer = 'stale' limit 20;
  end if;
  return v_answer;
end $$;

-- Returns whether the strings of a JSON value can be extracted as text. Postgres raises an
-- error for \u0000 and for half a surrogate pair, which would fail a whole batch.
--
-- Pairs of backslashes are removed first; any "\u" that is left is a real escape.
create or replace function public.loom_is_extractable(p_value json)
  returns boolean
  language sql
  immutable
  set search_path = ''
as $$
  select bare !~ '\\u0000'
     and bare !~ '\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})'
     and bare !~ '(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}'
    from (select replace(p_value::text, '\\', '') as bare) as t;
$$;

-- The ids of the jobs that items are about, as far as they have one.
create or replace function public.loom_item_ids(p_items json)
  returns bigint[]
  language sql
  immutable
  set search_path = ''
as $$
  select array(
    select id::bigint
      from json_array_elements(case when json_typeof(p_items) = 'array' then p_items else '[]' end) as item
     cross join lateral (
       select case when json_typeof(item) = 'object' and (strpos(item::text, '\u') = 0 or public.loom_is_extractable(item))
                   then (item -> 'id')::text end as id) as named
     where ltrim(id, '0123456789') = '' and length(id) <= 18);
$$;

-- Returns how long a job waits after a failed attempt.
--
-- The backoff is exponential with jitter from half a step on. So the retries of many
-- jobs that failed together are spread out, and none comes back at once. The exponent
-- is capped before power(), which would overflow.
create or replace function public.loom_backoff(
  p_kind    text,
  p_attempt integer,
  p_ms      integer,
  p_max_ms  integer
)
  returns interval
  language sql
  volatile
  set search_path = ''
as $$
  select make_interval(secs => 0.001 * case
    when p_kind = 'fixed' then p_ms
    else least(p_max_ms, p_ms * power(2, least(greatest(p_attempt, 1), 24) - 1)) * (0.5 + random() / 2)
  end);
$$;

-- Returns the minimum wait of a job that a node gives back without an attempt. A node that claims a job and gives it
-- back repeatedly would otherwise fill the history with that. The first times the job does not wait. After that the
-- wait doubles each time, up to a minute.
--
-- p_times: how often it was given back before, which is the number of its claims without an attempt.
create or replace function public.loom_give_back_pause(p_times integer)
  returns interval
  language sql
  immutable
  set search_path = ''
as $$
  select case when p_times < 5 then interval '0' else interval '1 second' * power(2, least(p_times - 5, 6)) end;
$$;
