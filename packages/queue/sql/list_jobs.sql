-- Jobs, newest first, without their inputs and results: steps of runs, and jobs of
-- their own. Every filter may be null. p_after is the next of an answer.
--
-- One call looks at 10 000 jobs at most, as in loom_list_runs: the table is written too
-- often for an index for every filter.
create or replace function public.loom_list_jobs(
  p_workflow text default null,
  p_state    text default null,
  p_node     text default null,
  p_run      uuid default null,
  p_after    bigint default null,
  p_limit    integer default 50
)
  returns json
  language sql
  stable
  security definer
  set search_path = ''
as $$
  with seen as (
    (select job from public.loom_job_queue as job
      where p_run is null and id < coalesce(p_after, 9223372036854775807)
      order by id desc limit 10000)
    union all
    (select job from public.loom_job_queue as job
      where run_id = p_run and id < coalesce(p_after, 9223372036854775807)
      order by id desc limit 10000)
  ),
  page as materialized (
    select job from seen
     where (p_state is null or (job).state = p_state)
       and (p_workflow is null or (job).workflow_id = p_workflow)
       and (p_node is null or (job).target_host = p_node or (job).ran_on = p_node)
     limit least(greatest(p_limit, 1), 500)
  )
  select json_build_object(
    'jobs', coalesce((select json_agg(json_build_object(
      'id', (job).id, 'run_id', (job).run_id, 'workflow_id', (job).workflow_id, 'step_id', (job).step_id,
      'key', (job).key, 'state', (job).state, 'target_host', (job).target_host, 'ran_on', (job).ran_on,
      'requires', (job).requires, 'priority', (job).priority, 'waiting_reason', (job).waiting_reason,
      'attempt', (job).attempt, 'max_attempts', (job).max_attempts, 'crash_restarts', (job).crash_restarts,
      'cancel_requested_at', (job).cancel_requested_at, 'run_at', (job).run_at, 'created_at', (job).created_at,
      'claimed_at', (job).claimed_at, 'finished_at', (job).finished_at) order by (job).id desc) from page), '[]'),
    'next', case when (select count(*) from page) >= least(greatest(p_limit, 1), 500)
                 then (select min((job).id) from page)
                 else (select (job).id from seen offset 9999 limit 1) end);
$$;

revoke all on function public.loom_list_jobs from public, anon, authenticated, service_role;
grant execute on function public.loom_list_jobs to service_role;
