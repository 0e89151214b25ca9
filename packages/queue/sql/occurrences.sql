-- Occurrences: what happened that hooks send messages about. One delivery is written for each hook and occurrence.

-- Decides what has to be sent: it writes one delivery for each hook and occurrence. Returns whether a delivery is due.
--
-- The leading hub's round calls it. It reads the events that no call has looked at, and moves the cursor in the same
-- transaction, so each event is looked at once. Events of transactions that are still open come later, in order (see
-- loom_read_events). One call looks at 2000 rows of events, or 5000 runs, jobs and nodes: the next call goes on from there.
--
-- run.failed: the run is the occurrence. run.recovered: the run succeeded, and the last run of its workflow that ended
--   before it and was not cancelled had failed; that failed run is the occurrence, so it recovers once.
-- approval.asked: a step began to wait for a person (the event of loom_begin_waits). The job is the occurrence. One that
--   was decided or cancelled before this looked is left out: there is nothing left to do.
-- node.lost: the node's session ended because it was silent. Sessions that a person ended, and those of a node that was
--   draining, do not count. The session is the occurrence.
-- step.waiting: see loom_find_long_waits. schedule.missed: written with the slot (loom_note_missed).
create or replace function public.loom_derive_deliveries()
  returns boolean
  language plpgsql
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
declare
  v_horizon xid8 := pg_snapshot_xmin(pg_current_snapshot());
  v_cursor  public.loom_hook_cursor;
  v_next    record;
  v_found   json;
begin
  if exists (select from public.loom_hooks where enabled_at is not null) then
    select * into strict v_cursor from public.loom_hook_cursor for no key update;
    -- The rows were restored from the backup of another server.
    if v_cursor.xid > v_horizon then
      v_cursor.xid := v_horizon;
      update public.loom_hook_cursor set xid = v_horizon, id = 0 where is_one;
    end if;

    with read as materialized (
      select xid, id, at, type, state, node, epoch, detail, jobs, coalesce(runs, array[run_id]) as runs
        from public.loom_event_batches
       where (xid, id) > (v_cursor.xid, v_cursor.id) and xid < v_horizon
       order by xid, id limit 2000
    ),
    page as materialized (
      select *, sum(case when type in ('run.finished', 'node.dead') or detail = 'asked' then cardinality(runs) else 0 end)
                  over (order by xid, id rows between unbounded preceding and 1 preceding) as before
        from read
    ),
    taken as materialized (
      select * from page where coalesce(before, 0) < 5000
    ),
    occurrence as (
      select taken.xid, taken.id, taken.at, 'run.failed' as rule, run.workflow_id, run.id::text as subject, run.id::text as occurrence,
             public.loom_run_facts(run) as facts
        from taken
       cross join unnest(taken.runs) as finished(run_id)
        join public.loom_runs as run on run.id = finished.run_id
       where taken.type = 'run.finished' and taken.state = 'failed'
         and public.loom_is_wanted('run.failed')
      union all
      select taken.xid, taken.id, taken.at, 'run.recovered', run.workflow_id, run.workflow_id, earlier.id::text,
             json_build_object('workflow', run.workflow_id, 'run', run.id, 'failedRun', earlier.id,
                               'failedAt', earlier.finished_at, 'finishedAt', run.finished_at)
        from taken
       cross join unnest(taken.runs) as finished(run_id)
        join public.loom_runs as run on run.id = finished.run_id
       cross join lateral (
         select id, status, finished_at from public.loom_runs
          where workflow_id = run.workflow_id and finished_at is not null and status <> 'cancelled'
            and (finished_at, id) < (run.finished_at, run.id)
          order by finished_at desc, id desc limit 1) as earlier
       where taken.type = 'run.finished' and taken.state = 'succeeded' and earlier.status = 'failed'
         and public.loom_is_wanted('run.recovered')
      union all
      select taken.xid, taken.id, taken.at, 'approval.asked', job.workflow_id, job.id::text, job.id::text,
             json_build_object('workflow', job.workflow_id, 'run', job.run_id, 'step', job.step_id, 'job', job.id,
                               'question', spec.wait ->> 'title', 'who', spec.wait -> 'who', 'expiresAt', approval.expires_at)
        from taken
       cross join unnest(taken.jobs) as asked(job_id)
        join public.loom_approvals as approval on approval.job_id = asked.job_id and approval.state = 'pending'
        join public.loom_jobs as job on job.id = asked.job_id
        join public.loom_job_specs as spec on spec.id = job.spec
       where taken.type = 'job.suspended' and taken.detail = 'asked'
         and public.loom_is_wanted('approval.asked')
      union all
      select taken.xid, taken.id, taken.at, 'node.lost', null, taken.node, taken.epoch::text,
             json_build_object('node', taken.node, 'lastSeenAt', (
               select heartbeat_at from public.loom_node_sessions as session
                where session.node = taken.node and session.epoch = taken.epoch))
        from taken
       where taken.type = 'node.dead' and taken.detail is null
         and not exists (select from public.openclaw_instances as node
                          where node.name = taken.node and node.status = 'draining')
    )
    select (select json_agg(json_build_object('at', at, 'rule', rule, 'workflow', workflow_id, 'subject', subject,
                                              'occurrence', occurrence, 'facts', facts) order by xid, id) from occurrence) as found,
           (select xid from taken order by xid desc, id desc limit 1) as xid,
           (select id from taken order by xid desc, id desc limit 1) as id
      into v_next;
    if v_next.xid is not null then
      perform public.loom_add_deliveries(v_next.found);
      update public.loom_hook_cursor set xid = v_next.xid, id = v_next.id where is_one;
    end if;
    perform public.loom_add_deliveries(public.loom_find_long_waits());
  end if;

  return exists (
    select from public.loom_hooks as hook
     cross join lateral (
       select min(next_at) as at from public.loom_hook_deliveries where hook = hook.name and next_at is not null) as next
     where next.at <= clock_timestamp());
end $$;

-- Whether an enabled hook sends messages about this, for all workflows or for one that names it.
create or replace function public.loom_is_wanted(p_rule text)
  returns boolean
  language sql
  stable
  set search_path = ''
as $$
  select exists (
    select from public.loom_hooks as hook
     where enabled_at is not null
       and (p_rule = any (rules)
            or exists (select from public.loom_notify as said where said.hook = hook.name and said.rule = p_rule)));
$$;

-- What a message says about a failed run: the first step that failed, with its error as JSON text.
create or replace function public.loom_run_facts(p_run public.loom_runs)
  returns json
  language sql stable
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
as $$
  select json_build_object(
    'workflow', p_run.workflow_id, 'run', p_run.id, 'trigger', p_run.trigger, 'schedule', p_run.schedule_id,
    'startedAt', p_run.created_at, 'finishedAt', p_run.finished_at, 'step', step.step_id, 'node', step.ran_on,
    'error', case when octet_length(step.error) <= 8192 then step.error else left(step.error, 1000) end)
    from (select 1) as always
    left join lateral (
      select step_id, ran_on, error from public.loom_jobs as job
       where run_id = p_run.id and item_of is null and state = 'failed' and not (
         select is_optional from public.loom_job_specs where id = job.spec) order by finished_at, id limit 1) as step on true;
$$;

-- Finds steps that wait for longer than hooks allow, as occurrences of step.waiting: one for each hook and workflow.
--
-- A wait begins when the job becomes due. Jobs of a paused workflow wait as they should. A message stands for all jobs of
-- its workflow that waited too long when it was written. The next one comes when another job has waited too long, but not
-- before the hook's time has passed once more: a queue that moves slowly sends no message for each job.
--
-- It reads all of loom_ready, without an index, because an index on run_at would cost every job. So each hook is
-- decided once in a tenth of its time, at least 10 s and at most 5 minutes apart.
create or replace function public.loom_find_long_waits()
  returns json
  language plpgsql
  set search_path = ''
  -- The caller has these off.
  set enable_seqscan = on
  set enable_hashjoin = on
as $$
declare
  v_now   timestamptz := clock_timestamp();
  v_hooks text[];
  v_found json;
begin
  with due as (
    update public.loom_hooks as hook
       set waits_checked_at = v_now
     where enabled_at is not null
       and ('step.waiting' = any (rules)
            or exists (select from public.loom_notify as said where said.hook = hook.name and said.rule = 'step.waiting'))
       and coalesce(waits_checked_at <= v_now - least(greatest(
             coalesce(waiting_ms, public.loom_limit('hook_wait_ms')) / 10, 10000), 300000) * interval '1 millisecond', true)
    returning name
  )
  select array_agg(name) into v_hooks from due;
  if v_hooks is null then
    return null;
  end if;
  with asked as materialized (
    select name, rules, workflows,
           coalesce(waiting_ms, public.loom_limit('hook_wait_ms')) * interval '1 millisecond' as patience
      from public.loom_hooks where name = any (v_hooks)
  ),
  last as materialized (
    select hook, subject as workflow_id, max(created_at) as at
      from public.loom_hook_deliveries
     where hook = any (v_hooks) and rule = 'step.waiting'
     group by hook, subject
  ),
  waited as (
    select hook.name as hook, ready.workflow_id, ready.job_id, ready.run_at,
           coalesce(ready.run_at > last.at - hook.patience, true) as is_new
      from public.loom_ready as ready
      join asked as hook
        on ready.run_at <= v_now - hook.patience
       and ('step.waiting' = any (hook.rules) and (hook.workflows = '{}' or ready.workflow_id = any (hook.workflows))
            or (ready.workflow_id, hook.name) in (select workflow_id, said.hook from public.loom_notify as said where rule = 'step.waiting'))
      left join last on last.hook = hook.name and last.workflow_id = ready.workflow_id
     where coalesce(last.at <= v_now - hook.patience, true)
       and not exists (select from public.loom_paused_workflows as paused where paused.workflow_id = ready.workflow_id)
  ),
  waiting as (
    select hook, workflow_id, count(*) as steps,
           (array_agg(job_id order by run_at, job_id) filter (where is_new))[1] as job_id
      from waited group by hook, workflow_id
  )
  select json_agg(json_build_object(
           'hook', waiting.hook, 'at', v_now, 'rule', 'step.waiting', 'workflow', waiting.workflow_id,
           'subject', waiting.workflow_id, 'occurrence', format('%s@%s', job.id, extract(epoch from job.run_at)),
           'facts', json_build_object(
             'workflow', job.workflow_id, 'step', job.step_id, 'job', job.id, 'run', job.run_id, 'steps', waiting.steps,
             'since', job.run_at, 'reason', left(job.waiting_reason ->> 'summary', 1000))))
    into v_found
    from waiting join public.loom_jobs as job on job.id = waiting.job_id;
  return v_found;
end $$;

-- Writes a missed time of a schedule for the hooks that want it. p_slots: the slots of one decision that got no run for
-- another reason than the schedule's own policy, in the order of time; empty or null for none. The last is the occurrence.
create or replace function public.loom_note_missed(p_schedule public.loom_schedules, p_slots text[])
  returns void
  language plpgsql
  set search_path = ''
as $$
begin
  if coalesce(cardinality(p_slots), 0) = 0 then
    return;
  end if;
  perform public.loom_add_deliveries((
    select json_build_array(json_build_object(
             'at', clock_timestamp(), 'rule', 'schedule.missed', 'workflow', p_schedule.workflow_id,
             'subject', p_schedule.id, 'occurrence', last.id,
             'facts', json_build_object(
               'schedule', p_schedule.id, 'workflow', p_schedule.workflow_id, 'slots', cardinality(p_slots),
               'firstAt', (select slot_at from public.loom_schedule_slots where id = p_slots[1]),
               'lastAt', last.slot_at, 'code', last.code, 'reason', last.reason)))
      from public.loom_schedule_slots as last
     where last.id = p_slots[cardinality(p_slots)]));
end $$;

-- Writes deliveries for occurrences: one for each hook that they concern, unless it has one for the same occurrence. They
-- concern a hook that wants them of all workflows or of those that it names, and one that their workflow names.
-- p_occurrences: [{"rule", "workflow", "subject", "occurrence", "at", "facts", "hook"}, …]; with "hook", of that one only.
--
-- A hook has a bounded number of pending deliveries; what is beyond is counted and dropped. So neither a broken target
-- nor a storm of failures fills the table. The hooks are locked first: one that is being removed is not found any more.
create or replace function public.loom_add_deliveries(p_occurrences json)
  returns void
  language plpgsql
  set search_path = ''
as $$
begin
  if p_occurrences is null then
    return;
  end if;
  perform from public.loom_hooks where enabled_at is not null order by name for key share;
  -- Read once, and not for each hook.
  with given as materialized (
    select (item ->> 'at')::timestamptz as at, item ->> 'rule' as rule, item ->> 'workflow' as workflow,
           item ->> 'subject' as subject, item ->> 'occurrence' as occurrence, item ->> 'facts' as facts,
           item ->> 'hook' as only, place
      from json_array_elements(p_occurrences) with ordinality as t(item, place)
  ),
  fresh as materialized (
    select hook.name as hook, given.*
      from given
      join public.loom_hooks as hook
        on hook.enabled_at <= given.at
       and (given.rule = any (hook.rules) and (hook.workflows = '{}' or given.workflow = any (hook.workflows))
            or (given.workflow, given.rule, hook.name) in (select workflow_id, said.rule, said.hook from public.loom_notify as said))
       and hook.name = coalesce(given.only, hook.name)
     where not exists (
       select from public.loom_hook_deliveries as known
        where (known.hook, known.rule, known.subject, known.occurrence)
              = (hook.name, given.rule, given.subject, given.occurrence))
  ),
  -- Counted once for each hook, however many occurrences it gets.
  backlog as materialized (
    select hook, (select count(*) from public.loom_hook_deliveries as known
                   where known.hook = concerned.hook and known.next_at is not null) as pending
      from (select distinct hook from fresh) as concerned
  ),
  wanted as materialized (
    select fresh.*, backlog.pending + row_number() over (partition by hook order by fresh.at, fresh.place) as rank
      from fresh join backlog using (hook)
  ),
  written as (
    insert into public.loom_hook_deliveries (hook, rule, subject, occurrence, facts)
    select hook, rule, subject, occurrence, facts from wanted where rank <= public.loom_limit('hook_backlog')
    on conflict do nothing
  ),
  full_hook as (
    select hook, count(*) as dropped from wanted where rank > public.loom_limit('hook_backlog') group by hook
  )
  update public.loom_hooks as hook set dropped = hook.dropped + full_hook.dropped
    from full_hook where hook.name = full_hook.hook;
end $$;
