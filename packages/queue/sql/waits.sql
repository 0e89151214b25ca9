-- Steps that no node runs: they sleep, or wait for a signal or a person. Such a step is `suspended`, and its row in
-- loom_suspended says for what. A hub ends the wait (loom_end_waits), in a transaction of its own. What was sent for it
-- (signals.sql) and what was asked (approvals.sql) have tables of their own.
--
-- Every wait ends once, under the lock of its job: whoever has the lock second finds it ended. Its time is the
-- database's.
--
-- Interleavings:
-- - A signal against the start of the wait for it: both are looked at in a later transaction, the signal because it is new
--   and the wait because it is due from its start. Whichever of the two looks second sees the other.
-- - A signal against the timeout: the signal wins if it was sent before the wait ended. That does not depend on who
--   looks first. One whose sending has not committed when the timeout ends the wait is too late, and kept.
-- - Two signals against one wait: the older one ends it. The other one is kept.
-- - An end against a cancel, and a decision against a timeout: the first that has the lock of the job.
-- - A hub is killed between: its transaction is gone, and what is due is still due.

-- An instant as JSON has it, to the second; a fraction is kept only in what programs compare.
create or replace function public.loom_iso(p_at timestamptz)
  returns text
  language sql
  immutable
  set search_path = ''
as $$
  select to_char(p_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"');
$$;

-- Suspends those of the given jobs that are 'suspended': a hub has to call a function of their author, or they begin to
-- wait. The caller holds their locks, and has just written the state.
create or replace function public.loom_suspend(p_jobs bigint[])
  returns void
  language plpgsql
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
declare
  v_called bigint[] := array(
    select job.id from public.loom_jobs as job
     cross join lateral (select has_condition from public.loom_job_specs where id = job.spec offset 0) as spec
     where job.id = any(p_jobs) and job.state = 'suspended' and spec.has_condition
     order by job.id);
begin
  update public.loom_jobs
     set waiting_reason = '{"code": "condition", "summary": "a hub has to evaluate its condition"}'
   where id = any(v_called);
  insert into public.loom_suspended (job_id, kind, due_at) select id, 'condition', clock_timestamp() from unnest(v_called) as id;
  perform public.loom_begin_waits(array(select id from unnest(p_jobs) as id where id <> all(v_called)));
end $$;

-- Lets those of the given jobs that are 'suspended' begin to wait. p_facts is what their functions returned, as
-- {"id", "until", "key", "shown"}. The caller holds their locks. Those that ask a person have an event that says so
-- ('asked'), because hooks and pages want to know of them.
create or replace function public.loom_begin_waits(p_jobs bigint[], p_facts json default '[]')
  returns void
  language sql
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
  with fact as materialized (
    select * from json_to_recordset(p_facts) as fact(id bigint, until timestamptz, key text, shown text)
  ),
  begun as materialized (
    select job.id, job.run_id, job.workflow_id, job.step_id, spec.wait, spec.wait ->> 'kind' as kind, fact.shown,
           spec.wait ->> 'event' as event, coalesce(fact.key, spec.wait ->> 'key', '') as key, clock_timestamp() as at,
           case when fact.until is not null then fact.until
                when spec.wait ->> 'until' is not null then (spec.wait ->> 'until')::timestamptz
                else clock_timestamp() + (spec.wait ->> 'for_ms')::bigint * interval '1 millisecond' end as ends_at
      from public.loom_jobs as job
     cross join lateral (select wait from public.loom_job_specs where id = job.spec and wait is not null offset 0) as spec
      left join fact on fact.id = job.id
     where job.id = any(p_jobs) and job.state = 'suspended'
     order by job.id
  ),
  suspended as (
    insert into public.loom_suspended as known (job_id, kind, due_at, ends_at, event, key)
    -- One that waits for a signal is due at once: its signal may be there.
    select id, kind, case when kind = 'signal' then at else coalesce(ends_at, 'infinity') end, ends_at, event,
           case when kind = 'signal' then key end
      from begun
    on conflict (job_id) do update
       set kind = excluded.kind, due_at = excluded.due_at, ends_at = excluded.ends_at, event = excluded.event, key = excluded.key
  ),
  asked as (
    insert into public.loom_approvals (job_id, state, shown, digest, asked_at, expires_at)
    select begun.id, 'pending', begun.shown, encode(sha256(convert_to(concat_ws(
             e'\n', begun.workflow_id, run.version, begun.step_id, begun.wait, run.input, begun.shown), 'UTF8')), 'hex'),
           begun.at, begun.ends_at
      from begun
     cross join lateral (select version, input from public.loom_runs where id = begun.run_id offset 0) as run
     where begun.kind = 'approval'
  ),
  event as (
    insert into public.loom_event_batches (type, state, detail, jobs, runs)
    select 'job.suspended', 'suspended', 'asked', array_agg(id order by id), array_agg(run_id order by id)
      from begun where kind = 'approval' group by id / 10000
  )
  update public.loom_jobs as job
     set claimed_at     = begun.at,
         waiting_reason = jsonb_strip_nulls(jsonb_build_object(
           'code', begun.kind, 'until', public.loom_iso(begun.ends_at), 'event', begun.event,
           'key', case when begun.kind = 'signal' then nullif(begun.key, '') end, 'title', begun.wait ->> 'title',
           'summary', left(case begun.kind
             when 'sleep' then 'it sleeps until ' || public.loom_iso(begun.ends_at)
             when 'signal' then 'it waits for the signal ' || begun.event || coalesce(' with the key ' || nullif(begun.key, ''), '')
             else 'it waits for a person to approve: ' || (begun.wait ->> 'title') end
             || case when begun.kind <> 'sleep' then coalesce(', until ' || public.loom_iso(begun.ends_at), '') else '' end,
             public.loom_limit('note_length')::integer)))
    from begun
   where job.id = any(array[begun.id]);
$$;

-- Takes back what the given jobs, which were cancelled, waited for or asked.
create or replace function public.loom_withdraw_waits(p_jobs bigint[])
  returns void
  language sql
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
as $$
  delete from public.loom_suspended where job_id = any(p_jobs);
  update public.loom_approvals set state = 'cancelled', decided_at = clock_timestamp()
   where job_id = any(p_jobs) and state = 'pending';
$$;

-- The steps whose wait is due at this time: at most p_limit of each kind, the longest due first. loom_next_due
-- has a copy of this question, because round.sql is applied before this file.
create or replace function public.loom_due_waits(p_at timestamptz, p_limit integer)
  returns setof bigint
  language sql
  stable
  rows 1
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
  select first.job_id
    from unnest(array['sleep', 'signal', 'approval']) as wait(kind)
   cross join lateral (
     select job_id from public.loom_suspended as suspended
      where suspended.kind = wait.kind and suspended.due_at <= p_at
      order by suspended.due_at limit p_limit) as first;
$$;

-- Gives new signals to the steps that wait for them, and ends the waits that are due, at most p_limit of each. The
-- answer's 'more' says that there is more to end at once. A wait or a signal for which this fails is named in 'failed'; a
-- wait is tried again in a minute. The others follow.
--
-- One call at a time, because of two that look at once each might miss what the other one brings. The second waits.
-- A row that costs nothing while it waits is found here by an index only (loom_suspended_due, loom_signal_new).
create or replace function public.loom_end_waits(p_limit integer default 500)
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
  v_now    timestamptz;
  v_signal bigint;
  v_signals bigint[] := '{}';
  v_due    bigint[] := '{}';
  v_job    bigint;
  v_ended  integer := 0;
  v_failed json[] := '{}';
begin
  if p_limit is null or p_limit not between 1 and 1000 then
    raise exception 'end 1 to 1000 waits at once'
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'the default is 500';
  end if;
  perform from public.loom_leaders where duty = 'waits' for update;
  v_now := clock_timestamp();

  -- What a call ends is locked together, and once.
  for v_signal in select id from public.loom_signals where is_new order by id limit 100 loop
    v_signals := v_signals || v_signal;
    v_due := v_due || public.loom_waiting_for(v_signal, p_limit);
    exit when cardinality(v_due) >= p_limit;
  end loop;
  if v_signals <> '{}' then
    perform public.loom_lock_jobs(v_due);
    foreach v_signal in array v_signals loop
      begin
        v_ended := v_ended + public.loom_deliver_signal(v_signal, v_due);
      exception
        when lock_not_available or deadlock_detected then raise;
        when others then
          v_failed := v_failed || json_build_object('signal', v_signal, 'problem', sqlerrm);
          -- It is kept, and no longer in the way of others.
          update public.loom_signals set is_new = false where id = v_signal;
      end;
    end loop;
  else
    v_due := array(select public.loom_due_waits(v_now, p_limit));
    perform public.loom_lock_jobs(v_due);
    begin
      v_ended := public.loom_end_due(v_due);
    exception
      when lock_not_available or deadlock_detected then raise;
      when others then
        foreach v_job in array v_due loop
          begin
            v_ended := v_ended + public.loom_end_due(array[v_job]);
          exception
            when lock_not_available or deadlock_detected then raise;
            when others then
              v_failed := v_failed || json_build_object('job', v_job, 'problem', sqlerrm);
              update public.loom_suspended set due_at = clock_timestamp() + interval '1 minute' where job_id = v_job;
          end;
        end loop;
    end;
  end if;
  return json_build_object(
    'ended', v_ended, 'failed', to_json(v_failed),
    'more', exists (select from public.loom_signals where is_new)
            or exists (select from public.loom_due_waits(v_now, 1)));
end $$;

-- Ends those of the given waits that are due. A wait for a signal looks for one that is kept, and then waits for its
-- timeout. The caller holds the locks of the jobs. Returns how many have ended.
create or replace function public.loom_end_due(p_jobs bigint[])
  returns integer
  language plpgsql
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
declare
  v_now     timestamptz := clock_timestamp();
  v_wait    public.loom_suspended;
  v_spec    jsonb;
  v_payload text;
  v_ends    json[] := '{}';
begin
  -- Read under the locks.
  for v_wait in select * from public.loom_suspended where job_id = any(p_jobs) and due_at <= v_now and kind <> 'condition'
                 order by job_id loop
    select wait into v_spec from public.loom_job_specs
     where id = (select spec from public.loom_jobs where id = v_wait.job_id);
    if v_wait.kind = 'sleep' then
      v_ends := v_ends || json_build_object('id', v_wait.job_id, 'detail', 'slept', 'result',
        case when v_spec ->> 'for_ms' is null then json_build_object('until', to_char(
          v_wait.ends_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))::text else 'null' end);
    elsif v_wait.kind = 'signal' then
      v_payload := public.loom_take_signal(v_wait.event, v_wait.key, v_wait.ends_at);
      if v_payload is not null then
        v_ends := v_ends || public.loom_receive(v_wait.job_id, v_spec, v_payload);
      elsif v_wait.ends_at <= v_now then
        v_ends := v_ends || json_build_object('id', v_wait.job_id, 'detail', 'timed_out', 'error', json_build_object(
          'name', 'SignalTimeoutError', 'code', 'SIGNAL_TIMED_OUT', 'message', format(
            'no signal %s%s came until %s', v_wait.event, coalesce(' with the key ' || nullif(v_wait.key, ''), ''),
            public.loom_iso(v_wait.ends_at))));
      else
        update public.loom_suspended set due_at = coalesce(v_wait.ends_at, 'infinity') where job_id = v_wait.job_id;
      end if;
    elsif v_spec ->> 'on_timeout' = 'approve' then
      update public.loom_approvals set state = 'approved', decided_at = v_now, input = (v_spec -> 'default')::text
       where job_id = v_wait.job_id;
      v_ends := v_ends || json_build_object('id', v_wait.job_id, 'detail', 'approved', 'result', json_build_object(
        'by', null, 'note', null, 'input', v_spec -> 'default', 'at', public.loom_iso(v_now))::text);
    else
      update public.loom_approvals set state = 'timed_out', decided_at = v_now where job_id = v_wait.job_id;
      v_ends := v_ends || json_build_object('id', v_wait.job_id, 'detail', 'timed_out', 'error', json_build_object(
        'name', 'ApprovalTimeoutError', 'code', 'APPROVAL_TIMED_OUT', 'message', format(
          'nobody decided until %s', public.loom_iso(v_wait.ends_at))));
    end if;
  end loop;
  return public.loom_finish_waits(v_ends);
end $$;

-- Ends waits: each is {"id", "detail", and "result" (JSON text) or "error" (JSON)}. An element that is null is none. The
-- caller holds the locks of the jobs, and has made sure that they still wait. Returns how many.
create or replace function public.loom_finish_waits(p_ends json[])
  returns integer
  language plpgsql
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
declare
  v_now   timestamptz := clock_timestamp();
  v_ended bigint[];
begin
  with item as materialized (
    select (given.item ->> 'id')::bigint as id, given.item ->> 'detail' as detail, given.item ->> 'result' as result,
           given.item -> 'error' as error
      from unnest(p_ends) as given(item) where given.item is not null
  ),
  woken as (
    delete from public.loom_suspended where job_id = any(array(select id from item))
  ),
  written as (
    update public.loom_jobs as job
       set state = (case when item.error is null then 'succeeded' else 'failed' end)::public.loom_job_state,
           result = item.result, error = item.error::text, finished_at = v_now
      from item
     where job.id = any(array[item.id]) and job.state = 'suspended'
    returning job.id, job.run_id, job.state, item.detail
  ),
  event as (
    insert into public.loom_event_batches (type, state, detail, jobs, runs)
    select 'job.woken', state, detail, array_agg(id order by id), array_agg(run_id order by id)
      from written group by state, detail
  )
  select coalesce(array_agg(id order by id), '{}') into v_ended from written;
  perform public.loom_advance_runs(v_ended);
  return cardinality(v_ended);
end $$;
