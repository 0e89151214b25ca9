-- The jobs to place next, with what placing weighs: of each kind of need (see
-- loom_requirement_key) and each priority, the first few that are due.
--
-- The cost follows the number of different needs, not the length of the queue, and jobs
-- that no node can run cannot hide those behind them. A job whose concurrency key is
-- full, offers counted, is passed over: offered, it would hold a slot and wait there.
--
-- With p_job it tells the same of one job, whatever its state and whether or not it is due or
-- passed over: an explanation reads what placing reads. Its key's places are those that others take.
--
-- What is looked up for each job is bounded: offers and running jobs of its key and of
-- its run, and the steps it comes after. How a step fared is looked up once a step, over
-- the last 20 times that it ran.
create or replace function public.loom_list_waiting(
  p_per_kind integer default 50,
  p_job      bigint default null
)
  returns json
  language sql
  stable
  security definer
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
  with due as materialized (
    select job.*
      from public.loom_kinds_waiting() as kind
     cross join lateral (
       select waiting.*, holders.count as key_holders
         from public.loom_job_queue as waiting
        cross join lateral (
          select case when waiting.concurrency_key is null then 0 else (
                   select count(*) from public.loom_job_queue as other
                    where other.concurrency_key = waiting.concurrency_key and other.concurrency_key is not null
                      and other.state in ('pending', 'running')) end as count) as holders
        where waiting.state = 'waiting'
          and waiting.requirement_key = kind.requirement_key
          and waiting.priority = kind.priority
          and waiting.run_at <= now()
          and (waiting.start_by is null or waiting.start_by > now())
          and (waiting.concurrency_key is null or holders.count < waiting.concurrency_limit)
          and not exists (select from public.loom_paused_workflows as paused
                           where paused.workflow_id = waiting.workflow_id)
        order by waiting.run_at, waiting.id
        limit least(greatest(p_per_kind, 1), 500)) as job
     where p_job is null
    union all
    select job.*, (
             select count(*) from public.loom_job_queue as other
              where other.concurrency_key = job.concurrency_key and other.concurrency_key is not null
                and other.state in ('pending', 'running') and other.id <> job.id)
      from public.loom_job_queue as job
     where job.id = p_job
  ),
  step as materialized (
    select distinct workflow_id, step_id from due where run_id is not null
  ),
  history as (
    select step.workflow_id, step.step_id, json_agg(fared) as nodes
      from step
     cross join lateral (
       select last.ran_on as node, count(*) filter (where last.state = 'succeeded') as succeeded,
              count(*) filter (where last.state = 'failed') as failed
         from (select ran_on, state from public.loom_job_queue
                where workflow_id = step.workflow_id and step_id = step.step_id
                  and run_id is not null and finished_at is not null and ran_on is not null
                order by workflow_id desc, step_id desc, finished_at desc limit 20) as last
        group by last.ran_on) as fared
     group by step.workflow_id, step.step_id
  ),
  run as (
    select run_id, (select count(*) from public.loom_job_queue as sibling
                     where sibling.run_id = known.run_id and sibling.run_id is not null
                       and sibling.state in ('pending', 'running')) as in_flight
      from (select distinct run_id from due where run_id is not null) as known
  ),
  job as (
    select json_build_object(
             'id', id, 'run_id', run_id, 'workflow_id', workflow_id, 'step_id', step_id,
             'host', case when host_pinned then target_host end,
             'priority', priority, 'requires', requires, 'prefers', prefers,
             'declined_by', declined_by, 'crashed_on', crashed_on, 'waiting_reason', waiting_reason,
             'traceparent', traceparent,
             'concurrency', case when concurrency_key is not null then json_build_object(
               'key', concurrency_key, 'limit', concurrency_limit, 'running', key_holders) end,
             'ran_on', case when after = '{}' then json '[]' else (
               select coalesce(json_agg(distinct earlier.ran_on), '[]') from public.loom_job_queue as earlier
                where earlier.run_id = due.run_id and earlier.step_id = any(due.after) and earlier.ran_on is not null) end) as told
      from due
     order by priority, run_at, id
  )
  -- What is known of a run or of a step is told once, beside the jobs: joined to them, it
  -- would be looked for in a list, job by job.
  select json_build_object(
    'jobs', (select coalesce(json_agg(told), '[]') from job),
    'runs', (select coalesce(json_object_agg(run_id, in_flight), '{}') from run),
    'steps', (select coalesce(json_agg(json_build_object('workflow_id', workflow_id, 'step_id', step_id, 'nodes', nodes)), '[]')
                from history));
$$;

revoke all on function public.loom_list_waiting from public, anon, authenticated, service_role;
grant execute on function public.loom_list_waiting to service_role;
