-- Writes down what attempts came to, advances their runs, and answers for each item:
--
--   accepted   the caller owned the job, and this is its outcome
--   salvaged   the job had been given back, but nobody has claimed it since: the work counts
--   duplicate  this claim was settled before; nothing was written
--   stale      a newer claim exists, or the job is over; nothing was written
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
create or replace function public.loom_settle_jobs(p_node text, p_items json)
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
  v_node     text := public.loom_acting_node(p_node);
  v_now      timestamptz := clock_timestamp();
  v_items    json[];
  v_answer   json;
  v_finished bigint[];
begin
  if json_typeof(p_items) is distinct from 'array' or json_array_length(p_items) > 500 then
    raise exception 'items are an array of at most 500'
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'settle in smaller batches';
  end if;

  -- What is no object, or holds a string that Postgres cannot take out, becomes null here.
  v_items := array(
    select case when json_typeof(e) = 'object' and public.loom_is_extractable(e) then e end
      from json_array_elements(p_items) with ordinality as t(e, ord)
     order by ord);

  perform public.loom_lock_runs(array(
    select (e ->> 'id')::bigint from unnest(v_items) as e where (e -> 'id')::text ~ '^[0-9]{1,18}$'));

  with raw as materialized (
    select ord, e,
           coalesce((e -> 'id')::text ~ '^[0-9]{1,18}$', false)
           and coalesce((e -> 'fence')::text ~ '^[0-9]{1,9}$', false)
           and coalesce(e ->> 'outcome' in ('succeeded', 'failed', 'released', 'declined'), false)
           and coalesce(json_typeof(e -> 'result'), 'string') = 'string'
           and coalesce(json_typeof(e -> 'error'), 'string') = 'string'
           and coalesce(json_typeof(e -> 'reason'), 'string') = 'string'
           and coalesce((e -> 'delay_ms')::text, '0') ~ '^[0-9]{1,9}$'
           and coalesce((e -> 'retryable')::text, 'true') in ('true', 'false') as is_valid
      from unnest(v_items) with ordinality as t(e, ord)
  ),
  item as materialized (
    select distinct on ((e ->> 'id')::bigint)
           (e ->> 'id')::bigint as id, (e ->> 'fence')::integer as fence, e ->> 'outcome' as outcome,
           e ->> 'result' as result, e ->> 'error' as error, e ->> 'reason' as reason,
           coalesce((e ->> 'retryable')::boolean, true) as retryable, (e ->> 'delay_ms')::integer as delay_ms
      from raw where is_valid
     order by (e ->> 'id')::bigint, ord
  ),
  locked as materialized (
    select job.* from public.loom_job_queue as job
     where job.id in (select id from item)
     order by job.id
       for no key update
  ),
  decided as materialized (
    select item.*,
           locked.id is not null and locked.ran_on is not distinct from v_node as is_mine,
           locked.cancel_requested_at is not null as is_cancelled,
           locked.attempt as attempt, locked.max_attempts,
           case when locked.id is null or locked.ran_on is distinct from v_node then 'unknown'
                when locked.fence <> item.fence then 'stale'
                when locked.settled_fence = item.fence then 'duplicate'
                when octet_length(item.result) > 1048576 or octet_length(item.error) > 65536 then 'too_large'
                when locked.state = 'running' then 'accepted'
                when locked.state in ('waiting', 'pending') and item.outcome = 'succeeded' then 'salvaged'
                else 'stale' end as answer
      from item
      left join locked on locked.id = item.id
  ),
  verdict as materialized (
    select decided.*,
           case when outcome = 'succeeded' then 'succeeded'
                when is_cancelled then 'cancelled'
                when outcome = 'failed' and (not retryable or attempt >= max_attempts) then 'failed'
                end as final_state
      from decided where answer in ('accepted', 'salvaged')
  ),
  written as (
    update public.loom_job_queue as job
       set settled_fence    = verdict.fence,
           state            = coalesce(verdict.final_state, case when job.host_pinned then 'pending' else 'waiting' end),
           finished_at      = case when verdict.final_state is not null then v_now end,
           result           = case when verdict.outcome = 'succeeded' then coalesce(verdict.result, 'null') end,
           error            = case when verdict.outcome = 'failed' then verdict.error end,
           -- A salvaged job had its attempt given back with it; a released one gets it now.
           attempt          = job.attempt + case when verdict.answer = 'salvaged' then 1
                                                 when verdict.outcome in ('released', 'declined') then -1
                                                 else 0 end,
           run_at           = case when verdict.final_state is not null then job.run_at
                                   when verdict.delay_ms is not null then v_now + verdict.delay_ms * interval '1 millisecond'
                                   when verdict.outcome in ('released', 'declined') then v_now
                                   else v_now + public.loom_backoff(job.backoff_kind, job.attempt, job.backoff_ms, job.backoff_max_ms)
                              end,
           waiting_reason   = case when verdict.final_state is null and verdict.reason is not null then
                                jsonb_build_object('code', verdict.outcome, 'summary', left(verdict.reason, 2000)) end,
           target_host      = case when verdict.answer = 'salvaged' then v_node
                                   when verdict.final_state is not null or job.host_pinned then job.target_host end,
           declined_by      = case when verdict.outcome = 'declined'
                                   then array_append(array_remove(job.declined_by, v_node), v_node)
                                   else job.declined_by end,
           -- It has been started once: what it was worth starting for no longer counts.
           start_by         = null,
           offer_expires_at = null,
           claimed_by       = null, epoch = null, claim_seq = null, deadline_at = null
      from verdict
     where job.id = verdict.id
    returning job.id, job.run_id, job.state, job.finished_at, verdict.fence, verdict.answer
  ),
  event as (
    insert into public.loom_events (type, run_id, job_id, state, node, fence, detail)
    select 'job.settled', run_id, id, state, v_node, fence, answer from written
  )
  select (select coalesce(json_agg(json_build_object(
                   'id', decided.id, 'fence', decided.fence,
                   'answer', coalesce(decided.answer, 'invalid'), 'state', written.state) order by raw.ord), '[]')
            from raw
            left join decided on raw.is_valid and decided.id = (raw.e ->> 'id')::bigint
            left join written on written.id = decided.id),
         (select coalesce(array_agg(id order by id), '{}') from written where finished_at is not null)
    into v_answer, v_finished;

  perform public.loom_advance_runs(v_finished);
  return v_answer;
end $$;

revoke all on function public.loom_settle_jobs from public, anon, authenticated, service_role;
grant execute on function public.loom_settle_jobs to service_role;
