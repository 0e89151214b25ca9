-- Lists violated invariants of the current rows: statuses that do not follow from the
-- steps, wrong counts of unfinished needs, exceeded limits, slots that are decided too
-- early or have another schedule's run, missing exclusions of nodes, sessions that
-- outlive their key, approvals and signals that contradict the steps that wait for them, messages about what did not happen, rows of jobs that contradict themselves, and rows of the tables beside them (loom_ready,
-- loom_keyed_jobs, what a session holds) that are missing or left over. It reads everything: use it in tests and in a doctor, not in a
-- loop. Empty when all is well.
create or replace function public.loom_verify()
  returns json
  language sql
  stable
  security definer
  set search_path = ''
  -- Whatever the statistics say, tables are not compared row by row with each other.
  set enable_nestloop = off
as $$
  with step as (
    select run_id,
           count(*) filter (where finished_at is null) as open,
           count(*) filter (where state = 'failed' and not spec.is_optional) as failed,
           count(*) filter (where state = 'cancelled') as cancelled
      from public.loom_jobs as job join public.loom_job_specs as spec on spec.id = job.spec
     where run_id is not null and item_of is null group by run_id
  ),
  dependent as materialized (
    select job.id, job.run_id, job.state, job.skip_reason, coalesce(job.waits_for, 0) as waits_for, spec.runs_after,
           job.need_failed, job.need_skipped, unnest(spec.after) as step_id
      from public.loom_jobs as job join public.loom_job_specs as spec on spec.id = job.spec
     -- A job without a run has no needs, whatever its specification says.
     where job.state not in ('succeeded', 'cancelled') and job.run_id is not null and job.item_of is null
  ),
  need as materialized (
    select dependent.id, dependent.state, dependent.skip_reason, dependent.waits_for, dependent.runs_after,
           dependent.need_failed, dependent.need_skipped, needed.step_id,
           public.loom_outcome(needed.state, needed.skip_reason, spec.is_optional, spec.cascades) as outcome
      from dependent
      left join public.loom_jobs as needed on needed.run_id = dependent.run_id and needed.step_id = dependent.step_id
                                               and needed.item_of is null
      left join public.loom_job_specs as spec on spec.id = needed.spec
  ),
  -- What becomes of a step, by the outcomes of its needs. The table is in docs/forms.md.
  decided as materialized (
    select id, state, skip_reason, waits_for, need_failed, need_skipped, count(*) filter (where outcome is null) as open,
           coalesce(bool_or(outcome = 'failed'), false) as failed, coalesce(bool_or(outcome = 'skipped'), false) as skipped,
           case when runs_after = 'success' and bool_or(outcome = 'failed') then 'need_failed'
                when bool_or(outcome is null) then 'blocked'
                when runs_after = 'success' and bool_or(outcome = 'skipped') then 'need_skipped'
                when runs_after = 'failure' and not bool_or(outcome = 'failed') then 'nothing_failed'
                else 'runs' end as fate
      from need
     group by id, state, skip_reason, waits_for, runs_after, need_failed, need_skipped
  ),
  problem as (
    select format('run %s is %s with %s open, %s failed, %s cancelled steps', run.id, run.status, step.open, step.failed, step.cancelled) as text
      from public.loom_runs as run join step on step.run_id = run.id
     where run.status <> case when step.open > 0 then 'running' when step.failed > 0 then 'failed'
                              when step.cancelled > 0 then 'cancelled' else 'succeeded' end
    union all
    select format('run %s counts %s open steps, and has %s', run.id, run.open_steps, coalesce(step.open, 0))
      from public.loom_runs as run left join step on step.run_id = run.id
     where run.open_steps <> coalesce(step.open, 0)
    union all
    select format('run %s is %s and ended at %s', id, status, coalesce(finished_at::text, 'no time'))
      from public.loom_runs
     where (finished_at is null) <> (status = 'running')
    union all
    select format('job %s of run %s belongs to no run', job.id, job.run_id)
      from public.loom_jobs as job
     where run_id is not null and not exists (select from public.loom_runs as run where run.id = job.run_id)
    union all
    select format('job %s has no specification', job.id)
      from public.loom_jobs as job
     where not exists (select from public.loom_job_specs as spec where spec.id = job.spec)
    union all
    select format('job %s %s', job.id, wrong.text)
      from public.loom_jobs as job
     cross join lateral (values
       ('is ' || state || ' and waits for ' || coalesce(waits_for, 0) || ' steps',
        (coalesce(waits_for, 0) > 0) <> (state = 'blocked') and state not in ('skipped', 'cancelled')),
       ('runs without a node, an epoch or a claim',
        state = 'running' and (ran_on is null or epoch is null or claim_seq is null or claimed_at is null)),
       ('is ' || state || ' for ' || coalesce(target_host, 'no node'),
        case when state in ('pending', 'running') or host_pinned then target_host is null
             when state in ('blocked', 'suspended', 'waiting') then target_host is not null else false end),
       ('is pinned and waits to be placed', host_pinned and state = 'waiting'),
       ('was settled under fence ' || settled_fence || ' of ' || fence, settled_fence not between 0 and fence),
       ('is ' || state || ' and ended at ' || coalesce(finished_at::text, 'no time'),
        (finished_at is not null) <> (state in ('succeeded', 'failed', 'cancelled', 'skipped'))),
       ('is ' || state || ' and has a result', result is not null and state <> 'succeeded'),
       ('is ' || state || ' and was skipped for ' || coalesce(skip_reason, 'no reason'), (skip_reason is not null) <> (state = 'skipped')),
       ('has a run and an input of its own', run_id is not null and item_of is null and payload is not null),
       ('is mapping and has no row that counts its items',
        state = 'mapping' and not exists (select from public.loom_maps as map where map.job_id = job.id)),
       ('has excluded nodes and no time when that ends', (excluded_nodes is null) <> (excluded_until is null))
       ) as wrong(text, is_so)
     where wrong.is_so
    union all
    select format('job %s has no input', job.id)
      from public.loom_jobs as job left join public.loom_job_details as detail on detail.job_id = job.id
     where (job.run_id is null or job.item_of is not null) and coalesce(job.payload, detail.payload) is null
    union all
    select format('job %s made attempt %s of %s', job.id, job.attempt, spec.max_attempts)
      from public.loom_jobs as job join public.loom_job_specs as spec on spec.id = job.spec
     where job.attempt not between 0 and spec.max_attempts
    union all
    select format('job %s is %s, and its row in loom_ready %s', coalesce(job.id, ready.job_id), coalesce(job.state::text, 'gone'),
                  case when ready.job_id is null then 'is missing' else 'does not say so' end)
      from (select * from public.loom_jobs where state in ('waiting', 'pending')) as job
      full join public.loom_ready as ready on ready.job_id = job.id
     where ready.job_id is null or job.id is null
        or (ready.host, ready.run_at, ready.start_by, ready.priority, ready.run_id, ready.workflow_id, ready.concurrency_key)
           is distinct from (job.target_host, job.run_at, job.start_by, job.priority, job.run_id, job.workflow_id, job.concurrency_key)
        or (ready.offer_expires_at is not null) <> (job.state = 'pending' and not job.host_pinned)
        or (ready.open_to is null) <> (ready.open_until is null)
        or ready.open_to is not null and (job.state <> 'waiting' or job.concurrency_key is not null)
    union all
    select format('job %s has %s checkpoint, and its row in loom_ready says otherwise', ready.job_id,
                  case when ready.has_checkpoint then 'no' else 'a' end)
      from public.loom_ready as ready
     where ready.has_checkpoint <> exists (select from public.loom_checkpoints as kept where kept.job_id = ready.job_id)
    union all
    select format('job %s is at fence %s, and has a checkpoint of fence %s', kept.job_id, coalesce(job.fence::text, 'none'), kept.fence)
      from public.loom_checkpoints as kept left join public.loom_jobs as job on job.id = kept.job_id
     where job.id is null or kept.fence > job.fence
    union all
    select format('job %s is %s, and its row in loom_suspended %s', coalesce(job.id, suspended.job_id), coalesce(job.state::text, 'gone'),
                  case when suspended.job_id is null then 'is missing' else 'says otherwise' end)
      from (select * from public.loom_jobs where state = 'suspended') as job
      full join public.loom_suspended as suspended on suspended.job_id = job.id
     where suspended.job_id is null or job.id is null
    union all
    select format('the approval of job %s is %s, and the job %s', approval.job_id, approval.state, coalesce(job.state::text, 'is gone'))
      from public.loom_approvals as approval left join public.loom_jobs as job on job.id = approval.job_id
     where case approval.state when 'pending' then 'suspended' when 'approved' then 'succeeded' when 'cancelled' then 'cancelled'
                else 'failed' end is distinct from job.state::text
    union all
    select format('job %s waits for a person, and nothing is asked', suspended.job_id)
      from public.loom_suspended as suspended
      left join public.loom_approvals as approval on approval.job_id = suspended.job_id and approval.state = 'pending'
     where suspended.kind = 'approval' and approval.job_id is null
    union all
    -- A signal that is new, and a wait that is due, are still to be looked at.
    select format('signal %s is kept, and job %s waits for it', signal.id, suspended.job_id)
      from public.loom_signals as signal
      join public.loom_suspended as suspended on suspended.event = signal.event and suspended.key = signal.key
     where not signal.is_new and suspended.kind = 'signal' and suspended.due_at > clock_timestamp()
       and coalesce(suspended.ends_at >= signal.sent_at, true)
       and signal.sent_at > clock_timestamp() - public.loom_limit('signal_keep_ms') * interval '1 millisecond'
    union all
    select format('hook %s has %s messages about one %s of %s', hook, count(*), rule, subject)
      from public.loom_hook_deliveries
     group by hook, rule, subject, occurrence having count(*) > 1
    union all
    select format('message %s says that run %s failed, and it is %s', delivery.id, run.id, run.status)
      from public.loom_hook_deliveries as delivery
      join public.loom_runs as run on run.id::text = delivery.occurrence
     where delivery.rule in ('run.failed', 'run.recovered') and run.status <> 'failed'
    union all
    select format('message %s has arrived, and %s', delivery.id, coalesce('says ' || delivery.error, 'was never sent'))
      from public.loom_hook_deliveries as delivery
     where delivery.state = 'delivered' and (delivery.sent_at is null or delivery.error is not null)
    union all
    select format('job %s runs on %s, whose session does not hold it', job.id, job.ran_on)
      from public.loom_jobs as job
     where job.state = 'running'
       and not exists (select from public.loom_node_sessions as session, unnest(session.held) as held(id)
                        where session.node = job.ran_on and held.id = job.id)
    union all
    select format('job %s runs on %s until %s, and nobody looks before %s', job.id, job.ran_on, job.deadline_at, session.deadline_at)
      from public.loom_job_queue as job join public.loom_node_sessions as session on session.node = job.ran_on
     where job.state = 'running' and not session.dead and coalesce(session.deadline_at > job.deadline_at, true)
    union all
    select format('job %s of key %s is %s, and its row of the key says %s', job.id, coalesce(job.concurrency_key, keyed.concurrency_key),
                  coalesce(job.state::text, 'over'), coalesce(keyed.state::text, 'nothing'))
      from (select * from public.loom_jobs where concurrency_key is not null and finished_at is null) as job
      full join public.loom_keyed_jobs as keyed on keyed.job_id = job.id
     where (job.state, job.concurrency_key) is distinct from (keyed.state, keyed.concurrency_key)
    union all
    select format('job %s waits for %s steps, of which %s have not ended', id, waits_for, open)
      from decided
     where state = 'blocked' and waits_for <> open
    union all
    -- It needs none.
    select format('job %s waits for %s steps, of which 0 have not ended', id, waits_for)
      from public.loom_job_queue
     where state = 'blocked' and item_of is null and after = '{}'
    union all
    select format('job %s is %s, and by its needs it %s', id, coalesce(skip_reason, state::text),
                  case fate when 'runs' then 'runs' when 'blocked' then 'is blocked' else 'is skipped: ' || fate end)
      from decided
     where fate <> case when skip_reason = 'condition' then 'runs'
                        when state = 'skipped' then coalesce(skip_reason, '') when state = 'blocked' then 'blocked' else 'runs' end
    union all
    select format('job %s counts its needs as %s, and they are %s', id, (need_failed, need_skipped), (failed, skipped))
      from decided
     where state = 'blocked' and (need_failed, need_skipped) <> (failed, skipped)
    union all
    -- The jobs were claimed under the limit of a job that may have ended since.
    select format('%s jobs of key %s run, and its limit is %s', held.jobs, held.key, held.most)
      from (select concurrency_key as key, count(*) filter (where state = 'running') as jobs, max(concurrency_limit) as most
              from public.loom_job_queue
             where concurrency_key is not null
             group by concurrency_key) as held
     where held.jobs > held.most
    union all
    select format('job %s runs under epoch %s of %s, whose epoch is %s', job.id, job.epoch, job.ran_on, session.epoch)
      from public.loom_jobs as job
      left join public.loom_node_sessions as session on session.node = job.ran_on
     where job.state = 'running' and (session.epoch is null or job.epoch > session.epoch)
    union all
    select format('slot %s is decided, and its schedule is decided until %s', slot.id, schedule.decided_until)
      from public.loom_schedule_slots as slot
      join public.loom_schedules as schedule on schedule.id = slot.schedule_id
     -- A future slot that has its run keeps it when a schedule is rewound
     -- (loom_rewind_schedule).
     where slot.slot_at > schedule.decided_until
       and (slot.slot_at <= now() or slot.run_id is null and not slot.queued)
    union all
    select format('slot %s is of schedule %s, and its run of %s', slot.id, slot.schedule_id, coalesce(run.schedule_id, 'none'))
      from public.loom_schedule_slots as slot
      join public.loom_runs as run on run.id = slot.run_id
     where run.schedule_id is distinct from slot.schedule_id
    union all
    -- Slots are removed after weeks, together with runs that have ended.
    select format('run %s was started by schedule %s, and no slot says so', run.id, run.schedule_id)
      from public.loom_runs as run
     where run.trigger = 'schedule' and run.schedule_id is not null and run.created_at > now() - interval '1 day'
       and not exists (select from public.loom_schedule_slots as slot where slot.run_id = run.id)
    union all
    select format('job %s is %s, %s gave it back or was lost with it too often, and is not excluded', job.id, job.state, often.node)
      from public.loom_jobs as job
     cross join lateral (
       select node from unnest(declined_by) as node group by node having count(*) >= 3
        union
       select node from unnest(crashed_on) as node group by node having count(*) >= 2) as often
     where job.state in ('waiting', 'pending', 'running', 'succeeded') and not job.host_pinned
       and coalesce(often.node <> all(job.excluded_nodes), true)
    union all
    select format('job %s has the kind of other needs than its own', job.id)
      from public.loom_jobs as job
      join public.loom_ready as ready on ready.job_id = job.id
      join public.loom_job_specs as spec on spec.id = job.spec
     where ready.kind <> public.loom_kind(spec.kind, job.run_id, job.excluded_nodes)
    union all
    select format('job %s is item %s of %s, which %s', item.id, item.item_index, item.item_of, case
             when step.id is null then 'does not exist'
             when step.run_id is distinct from item.run_id then 'belongs to another run'
             when step.cancel_requested_at is not null and item.finished_at is null then 'was asked to stop'
             else 'is ' || step.state end)
      from public.loom_jobs as item
      left join public.loom_jobs as step on step.id = item.item_of
     where item.item_of is not null
       and (step.id is null or step.run_id is distinct from item.run_id or item.finished_at is null and step.state <> 'mapping'
            or item.finished_at is null and item.cancel_requested_at is null and step.cancel_requested_at is not null
            or step.state not in ('mapping', 'succeeded', 'failed', 'cancelled'))
    union all
    select format('step %s counts %s items, and has %s', map.job_id,
                  (map.made, map.active, map.succeeded, map.failed, map.cancelled, map.result_bytes), counted.items)
      from public.loom_maps as map
     cross join lateral (
       select (count(*), count(*) filter (where state in ('waiting', 'pending', 'running')), count(*) filter (where state = 'succeeded'),
               count(*) filter (where state = 'failed'), count(*) filter (where state = 'cancelled'),
               coalesce(sum(octet_length(result)), 0)) as items,
              max(item_index) + 1 as places, count(*) as made
         from public.loom_jobs where item_of = map.job_id) as counted
     -- A step that was taken over from another run has its items there.
     where (counted.made > 0 or map.items_of is null)
       and ((map.made, map.active, map.succeeded, map.failed, map.cancelled, map.result_bytes)::text <> counted.items::text
            or counted.places <> map.made or map.released > map.made or map.made > map.total)
    union all
    select format('step %s is %s, and of %s items %s are made, %s succeeded, %s failed, %s were cancelled, %s may fail', map.job_id,
                  coalesce(job.state::text, 'gone'), map.total, map.made, map.succeeded, map.failed, map.cancelled, map.tolerated)
      from public.loom_maps as map
      left join public.loom_jobs as job on job.id = map.job_id
     where job.id is null
        or case job.state
             when 'mapping' then map.is_due <> (coalesce(map.made < map.total, true) and job.cancel_requested_at is null)
                                 or map.succeeded + map.failed + map.cancelled = map.total
             when 'succeeded' then map.is_due or map.succeeded + map.failed <> map.total or map.failed > map.tolerated
             when 'failed' then map.is_due or map.total is not null and map.failed <= map.tolerated
             when 'cancelled' then map.is_due or coalesce(map.failed > map.tolerated, false)
                                   or coalesce(map.succeeded + map.failed = map.total, false)
             else true end
    union all
    select format('step %s has %s items that may run, its limit is %s, and %s wait for a place', map.job_id, map.active,
                  coalesce(spec.map ->> 'concurrency', 'none'), map.made - map.released)
      from public.loom_maps as map
      join public.loom_jobs as job on job.id = map.job_id
      join public.loom_job_specs as spec on spec.id = job.spec
     where job.state = 'mapping' and job.cancel_requested_at is null
       and (map.active > (spec.map ->> 'concurrency')::integer
            or map.released < map.made and coalesce(map.active < (spec.map ->> 'concurrency')::integer, true)
               and exists (select from public.loom_jobs as item
                            where item.item_of = map.job_id and item.item_index >= map.released and item.state = 'blocked'))
    union all
    select format('run %s has the file %s, which %s', had.run_id, had.file,
                  case when run.id is null then 'is kept for no run' else 'is ' || file.state end)
      from public.loom_run_files as had
      join public.loom_files as file on file.id = had.file
      left join public.loom_runs as run on run.id = had.run_id
     where file.state <> 'stored' or run.id is null
    union all
    select format('no run has the file %s, and no sweep looks at it', file.id)
      from public.loom_files as file
     where file.state = 'stored' and not file.may_be_unused
       and not exists (select from public.loom_run_files as had where had.file = file.id)
    union all
    select format('the session of %s lives, and its key is revoked', session.node)
      from public.loom_node_sessions as session
      join public.loom_node_keys as key on key.id = session.key_id
     where not session.dead and key.revoked_at is not null
  )
  select coalesce(json_agg(text), '[]') from problem;
$$;
