-- Repeats a finished run as a new one; the old one stays as it ended.
--
--   all     every step
--   failed  what did not succeed; results of the other steps are taken over
--   from    the step p_step and all that depends on it, and what did not succeed
--
-- A repeated call with the same key answers with the first one's run.
--
-- With p_version the new run is one of that version of the workflow's code: what is
-- repeated requires it of its node in place of the old one's. Without, only a node that
-- still has the old code can run it.
create or replace function public.loom_retry_run(
  p_run  uuid,
  p_mode text,
  p_step text default null,
  p_key  text default null,
  p_version text default null,
  p_traceparent text default null
)
  returns json
  language plpgsql
  security definer
  set search_path = ''
as $$
declare
  v_now  timestamptz := clock_timestamp();
  v_old  public.loom_runs;
  v_new  uuid;
  v_redo text[];
begin
  select * into v_old from public.loom_runs where id = p_run;
  if not found then
    return null;
  end if;
  if v_old.status = 'running' then
    raise exception 'run % is not finished', p_run
      using errcode = 'PT409', detail = 'RUN_NOT_FINISHED', hint = 'cancel it first, or wait';
  end if;
  if p_mode not in ('all', 'failed', 'from') or (p_mode = 'from') <> (p_step is not null) then
    raise exception 'retry all, failed, or from a step'
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'name a step with mode "from", and only with it';
  end if;
  if p_step is not null and not exists (
       select from public.loom_job_queue where run_id = p_run and step_id = p_step) then
    raise exception 'run % has no step %', p_run, p_step
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'name a step of the run';
  end if;

  with recursive redo as (
    select step_id, dependents from public.loom_job_queue
     where run_id = p_run and (p_mode = 'all' or state <> 'succeeded' or step_id = p_step)
    union
    select job.step_id, job.dependents
      from redo
      join public.loom_job_queue as job on job.run_id = p_run and job.step_id = any(redo.dependents)
  )
  select array_agg(step_id) into v_redo from redo;
  if v_redo is null then
    raise exception 'every step of run % succeeded', p_run
      using errcode = 'PT409', detail = 'NOTHING_TO_RETRY', hint = 'retry all, or from a step';
  end if;

  insert into public.loom_runs (workflow_id, version, input, trigger, idempotency_key, asked_by, retry_of)
  values (v_old.workflow_id, coalesce(p_version, v_old.version), v_old.input, 'manual', p_key, v_old.asked_by, p_run)
  on conflict (workflow_id, idempotency_key) do nothing
  returning id into v_new;
  if v_new is null then
    select id into strict v_new from public.loom_runs
     where workflow_id = v_old.workflow_id and idempotency_key = p_key;
    return json_build_object('run_id', v_new, 'returned', 'existing');
  end if;

  with old as materialized (
    select job.*, step_id = any(v_redo) as is_redone,
           array_replace(job.requires, format('workflow:%s@%s', v_old.workflow_id, v_old.version),
                         format('workflow:%s@%s', v_old.workflow_id, coalesce(p_version, v_old.version))) as needed,
           cardinality(array(select unnest(job.after) intersect select unnest(v_redo))) as needs
      from public.loom_job_queue as job where run_id = p_run
  ),
  created as (
    insert into public.loom_job_queue (
      run_id, workflow_id, step_id, after, waits_for, dependents, requires, prefers, requirement_key,
      host_pinned, target_host, priority, timeout_ms, max_attempts, max_crash_restarts,
      backoff_kind, backoff_ms, backoff_max_ms, start_within_ms, start_by, concurrency_key, concurrency_limit, traceparent,
      state, ran_on, result, claimed_at, finished_at)
    select v_new, workflow_id, step_id, after, case when is_redone then needs else 0 end, dependents,
           needed, prefers, public.loom_requirement_key(workflow_id, needed, prefers, v_new), host_pinned,
           case when host_pinned or not is_redone then target_host end,
           priority, timeout_ms, max_attempts, max_crash_restarts, backoff_kind, backoff_ms, backoff_max_ms,
           start_within_ms,
           case when is_redone and needs = 0 then v_now + start_within_ms * interval '1 millisecond' end,
           concurrency_key, concurrency_limit, case when is_redone then p_traceparent end,
           case when not is_redone then 'succeeded'
                when needs > 0 then 'blocked'
                when host_pinned then 'pending'
                else 'waiting' end,
           case when not is_redone then ran_on end,
           case when not is_redone then result end,
           case when not is_redone then claimed_at end,
           case when not is_redone then finished_at end
      from old
     order by id
    returning id, state, target_host
  )
  insert into public.loom_events (type, run_id, job_id, state, node, detail)
  select 'run.started', v_new, null, 'running', null, v_old.workflow_id
  union all
  select 'job.created', v_new, id, state, target_host, null from created;
  return json_build_object('run_id', v_new, 'returned', 'created');
end $$;

revoke all on function public.loom_retry_run from public, anon, authenticated, service_role;
grant execute on function public.loom_retry_run to service_role;
