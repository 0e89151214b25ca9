-- Writes down what attempts came to, advances their runs, and answers for each item:
--
--   accepted   the caller owned the job, and this is its outcome
--   salvaged   the job had been given back, but nobody has claimed it since: the work counts
--   duplicate  this claim was settled before; nothing was written
--   stale      a newer claim exists, or the job is over; only that is written down
--   unknown    no such job of this node; says nothing about other nodes' jobs
--   too_large  result over 1 MiB or error over 64 KiB; the caller still owns the job
--   invalid    the item cannot be read
--
-- Items: {"id", "fence", "outcome": "succeeded" | "failed" | "released" | "declined",
--         "result" | "error": JSON as a string, "retryable": boolean, "delay_ms": integer, "reason": text}
-- One bad item never fails the others, and nothing that a node says is parsed here.
--
-- Interleavings. Two settles of one claim: the second waits for the job's lock and
-- finds the settled fence. Settle against reaper: whoever locks first; the reaper
-- skips a locked job, and a settle that comes second finds it waiting (salvaged) or
-- claimed again (stale). Two last steps of a run: the run's lock is taken first.
-- Two claims of one job in one batch, of a journal that is replayed: each by its fence.
create or replace function public.loom_settle_jobs(p_node text, p_items json)
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
  v_node     text := public.loom_acting_node(p_node);
  v_now      timestamptz := clock_timestamp();
  v_items    json := p_items;
  v_answer   json;
  v_finished bigint[];
begin
  if json_typeof(p_items) is distinct from 'array' or json_array_length(p_items) > 500 then
    raise exception 'items are an array of at most 500'
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'settle in smaller batches';
  end if;

  -- What is no object, or holds a string that Postgres cannot take out, becomes {}. The whole
  -- batch is looked at first: taken one by one, items of 100 cost as much as all the rest.
  if strpos(p_items::text, '\u') > 0
     or exists (select from json_array_elements(p_items) as e where json_typeof(e) <> 'object') then
    v_items := (
      select json_agg(case when json_typeof(e) = 'object' and public.loom_is_extractable(e) then e else '{}' end order by ord)
        from json_array_elements(p_items) with ordinality as t(e, ord));
  end if;

  perform public.loom_lock_jobs(array(
    select id::text::bigint from json_to_recordset(v_items) as t(id json)
     where ltrim(id::text, '0123456789') = '' and length(id::text) <= 18));

  -- No join here compares every item with every other: with 500 of them that took 300 ms. Each
  -- step carries along what the next one needs, and finds rows of the table by their id.
  with raw as materialized (
    select t.*,
           -- ltrim takes a fifth of the time of a regular expression.
           coalesce(ltrim(id::text, '0123456789') = '' and length(id::text) <= 18
                    and ltrim(fence::text, '0123456789') = '' and length(fence::text) <= 9
                    and outcome::text in ('"succeeded"', '"failed"', '"released"', '"declined"')
                    and coalesce(json_typeof(result), 'string') = 'string'
                    and coalesce(json_typeof(error), 'string') = 'string'
                    and coalesce(json_typeof(reason), 'string') = 'string'
                    and (delay_ms is null or delay_ms::text ~ '^[0-9]{1,9}$')
                    and coalesce(retryable::text, 'true') in ('true', 'false'), false) as is_valid
      from rows from (json_to_recordset(v_items) as (
             id json, fence json, outcome json, result json, error json, reason json, delay_ms json, retryable json))
           with ordinality as t(id, fence, outcome, result, error, reason, delay_ms, retryable, ord)
  ),
  item as materialized (
    select distinct on (id::text::bigint, fence::text::integer)
           ord, id::text::bigint as id, fence::text::integer as fence, btrim(outcome::text, '"') as outcome,
           result #>> '{}' as result, error #>> '{}' as error, reason #>> '{}' as reason,
           coalesce(retryable::text, 'true') = 'true' as retryable, delay_ms::text::integer as delay_ms
      from raw where is_valid
     order by id::text::bigint, fence::text::integer, ord
  ),
  decided as materialized (
    select item.*,
           case when job.ran_on is distinct from v_node then 'unknown'
                when job.fence <> item.fence then 'stale'
                when job.settled_fence = item.fence then 'duplicate'
                when octet_length(item.result) > 1048576 or octet_length(item.error) > 65536 then 'too_large'
                when job.state = 'running' then 'accepted'
                when job.state in ('waiting', 'pending') and item.outcome = 'succeeded' then 'salvaged'
                else 'stale' end as answer,
           case when item.outcome = 'succeeded' then 'succeeded'
                when job.cancel_requested_at is not null then 'cancelled'
                when item.outcome = 'failed' and (not item.retryable or job.attempt >= job.max_attempts) then 'failed'
                end as final_state
      from item
      left join lateral (
        select ran_on, fence, settled_fence, state, cancel_requested_at, attempt, max_attempts
          from public.loom_job_queue where id = item.id) as job on true
  ),
  written as (
    update public.loom_job_queue as job
       set settled_fence    = decided.fence,
           state            = coalesce(decided.final_state, case when job.host_pinned then 'pending' else 'waiting' end),
           finished_at      = case when decided.final_state is not null then v_now end,
           result           = case when decided.outcome = 'succeeded' then coalesce(decided.result, 'null') end,
           -- Given back, it keeps what its last failure left.
           error            = case when decided.outcome = 'failed' then decided.error
                                   when decided.outcome <> 'succeeded' then job.error end,
           -- A salvaged job had its attempt given back with it; a released one gets it now.
           attempt          = job.attempt + case when decided.answer = 'salvaged' then 1
                                                 when decided.outcome in ('released', 'declined') then -1
                                                 else 0 end,
           run_at           = case when decided.final_state is not null then job.run_at
                                   when decided.delay_ms is not null then v_now + decided.delay_ms * interval '1 millisecond'
                                   when decided.outcome in ('released', 'declined') then v_now
                                   else v_now + public.loom_backoff(job.backoff_kind, job.attempt, job.backoff_ms, job.backoff_max_ms)
                              end,
           waiting_reason   = case when decided.final_state is null and decided.reason is not null then
                                jsonb_build_object('code', decided.outcome, 'summary', left(decided.reason, 2000)) end,
           target_host      = case when decided.answer = 'salvaged' then v_node
                                   when decided.final_state is not null or job.host_pinned then job.target_host end,
           declined_by      = case when decided.outcome = 'declined'
                                   then (array_append(job.declined_by, v_node))[greatest(1, cardinality(job.declined_by) - 18):]
                                   else job.declined_by end,
           -- Once it was started, how long it was worth starting no longer counts.
           start_by         = case when decided.outcome = 'declined' then job.start_by end,
           offer_expires_at = null,
           claimed_by       = null, epoch = null, claim_seq = null, deadline_at = null
      from decided
     where job.id = decided.id and decided.answer in ('accepted', 'salvaged')
    returning decided.ord, job.id, decided.fence, decided.answer, job.state, job.run_id
  ),
  event as (
    insert into public.loom_events (type, run_id, job_id, state, node, fence, detail)
    select 'job.settled', run_id, id, state, v_node, fence, answer from written
  ),
  -- For the job nothing happened: a node offered what is not its own any more.
  refused as (
    insert into public.loom_events (type, node, fence, detail)
    select 'node.settle_refused', v_node, fence, format('job %s', id) from decided where answer = 'stale'
  ),
  answered as materialized (
    select ord, id, fence, answer, state, run_id from written
     union all
    select ord, id, fence, answer, null, null from decided where answer not in ('accepted', 'salvaged')
  ),
  -- Of several items about one claim the first one counts: the others repeat it.
  twin as (
    select ord, id::text::bigint as id, fence::text::integer as fence
      from raw where is_valid and ord not in (select ord from item)
  )
  select coalesce(json_agg(json_build_object('id', id, 'fence', fence, 'answer', answer, 'state', state) order by ord), '[]'),
         coalesce(array_agg(id order by id) filter (where run_id is not null and state not in ('waiting', 'pending')), '{}')
    into v_answer, v_finished
    from (select * from answered
           union all
          select twin.ord, id, fence, case when state is null then answer else 'duplicate' end, null, null
            from twin join answered using (id, fence)
           union all
          select ord, null, null, 'invalid', null, null from raw where not is_valid) as said;

  perform public.loom_advance_runs(v_finished);
  return v_answer;
end $$;

revoke all on function public.loom_settle_jobs from public, anon, authenticated, service_role;
grant execute on function public.loom_settle_jobs to service_role;
