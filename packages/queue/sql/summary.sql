-- Summarizes the last p_past_ms (a week at most): how runs ended, which failed and why, which nodes were away, which
-- times of schedules started nothing, and the newest events.
--
-- Every part reads a fixed number of the newest rows of an index, so the cost does not depend on the amount of
-- history. Events of transactions that are still open are left out, as in loom_read_events.
create or replace function public.loom_summarize(p_past_ms bigint)
  returns json
  language plpgsql
  stable
  security definer
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
declare
  v_since   timestamptz := now() - least(greatest(p_past_ms, 0), 604800000) * interval '1 millisecond';
  v_horizon xid8 := pg_snapshot_xmin(pg_current_snapshot());
begin
  return json_build_object(
    'since', v_since,
    'runs', (
      select coalesce(json_object_agg(status, runs), '{}')
        from (select status, count(*) as runs
                from (select status from public.loom_runs where finished_at >= v_since
                       order by finished_at desc limit 10000) as ended
               group by status) as counted),
    'failures', (
      select coalesce(json_agg(json_build_object(
               'run_id', run.id, 'workflow_id', run.workflow_id, 'at', run.finished_at, 'step', step.step_id,
               'node', step.ran_on, 'attempt', step.attempt, 'error', left(step.error, 4000),
               'repeated_as', again.id, 'repeated_status', again.status) order by run.finished_at desc), '[]')
        from (select * from (select id, workflow_id, status, finished_at from public.loom_runs where finished_at >= v_since
                              order by finished_at desc limit 10000) as ended
               where status = 'failed' limit 50) as run
        left join lateral (
          select step_id, ran_on, attempt, error from public.loom_jobs as job
           where job.run_id = run.id and job.item_of is null and job.state = 'failed'
             -- The failure of an optional step is no cause.
             and not (select is_optional from public.loom_job_specs where id = job.spec)
           order by job.finished_at, job.id limit 1) as step on true
        left join lateral (
          select id, status from public.loom_runs as later
           where later.retry_of = run.id order by later.created_at desc limit 1) as again on true),
    'absences', (
      select coalesce(json_agg(json_build_object('node', node, 'from', at, 'until', until) order by at desc), '[]')
        from (select presence.*
                from (select node, type, at, lead(at) over (partition by node order by xid, id) as until
                        from (select xid, id, node, type, at from public.loom_event_batches
                               where type in ('node.hello', 'node.dead') and xid < v_horizon
                               order by xid desc, id desc limit 2000) as newest) as presence
               where type = 'node.dead' and coalesce(until, 'infinity') >= v_since
                 and exists (select from public.openclaw_instances as known where known.name = presence.node)
               order by at desc limit 50) as away),
    'slots', (
      select coalesce(json_agg(json_build_object(
               'schedule_id', schedule_id, 'decision', decision, 'code', code, 'reason', reason, 'count', slots,
               'first_at', first_at, 'last_at', last_at) order by last_at desc), '[]')
        from (select schedule_id, decision, code, count(*) as slots, min(slot_at) as first_at, max(slot_at) as last_at,
                     (array_agg(reason order by slot_at desc))[1] as reason
                from (select * from public.loom_schedule_slots where slot_at >= v_since
                       order by slot_at desc limit 10000) as due
               where decision in ('missed', 'skipped')
               group by schedule_id, decision, code
               order by max(slot_at) desc limit 50) as grouped),
    'events', (
      select coalesce(json_agg(json_build_object(
               'cursor', format('%s.%s', event.xid, event.id), 'seq', event.id, 'at', event.at, 'type', event.type,
               'run_id', event.run_id, 'job_id', event.job_id, 'state', event.state, 'node', event.node,
               'epoch', event.epoch, 'fence', event.fence, 'detail', event.detail,
               'workflow_id', coalesce(job.workflow_id, run.workflow_id), 'step', job.step_id)
               order by event.xid desc, event.id desc), '[]')
        from (select batch.xid, batch.id + item.place - 1 as id, batch.at, batch.type, batch.state, batch.node, batch.epoch,
                     batch.detail, batch.jobs[item.place] as job_id, batch.fences[item.place] as fence,
                     coalesce(batch.runs[item.place], batch.run_id) as run_id
                from (select * from (select * from public.loom_event_batches where xid < v_horizon
                                      order by xid desc, id desc limit 2000) as newest
                       -- Another event says the same, or the event concerns operators only.
                       where type not in ('job.created', 'job.ready', 'job.skipped', 'request.done') and at >= v_since
                       order by xid desc, id desc limit 30) as batch
               cross join lateral (
                 select place from generate_series(greatest(cardinality(batch.jobs), cardinality(batch.runs), 1), 1, -1) as place
                  limit 30) as item
               order by batch.xid desc, 2 desc limit 30) as event
        left join public.loom_jobs as job on job.id = event.job_id
        left join public.loom_runs as run on run.id = event.run_id));
end $$;
