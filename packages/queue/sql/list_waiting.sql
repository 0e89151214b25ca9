-- The jobs to place next: of each kind of need and each priority, the first few
-- that are due.
--
-- A loose index scan steps from one (requirement_key, priority) to the next, so the
-- cost follows the number of different needs, not the length of the queue, and jobs
-- that no node can run cannot hide those behind them.
create or replace function public.loom_list_waiting(p_per_kind integer default 50)
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
  with recursive kind as (
    (select requirement_key, priority
       from public.loom_job_queue where state = 'waiting'
      order by requirement_key, priority limit 1)
    union all
    select next.requirement_key, next.priority
      from kind
     cross join lateral (
       select requirement_key, priority
         from public.loom_job_queue
        where state = 'waiting'
          and (requirement_key, priority) > (kind.requirement_key, kind.priority)
        order by requirement_key, priority limit 1) as next
  )
  select coalesce(json_agg(json_build_object(
           'id', job.id, 'run_id', job.run_id, 'workflow_id', job.workflow_id, 'step_id', job.step_id,
           'requires', job.requires, 'prefers', job.prefers, 'declined_by', job.declined_by, 'waiting_reason', job.waiting_reason)
           order by job.priority, job.run_at, job.id), '[]')
    from kind
   cross join lateral (
     select *
       from public.loom_job_queue as job
      where state = 'waiting'
        and requirement_key = kind.requirement_key
        and priority = kind.priority
        and run_at <= now()
        and (start_by is null or start_by > now())
        and not exists (select from public.loom_paused_workflows as paused
                         where paused.workflow_id = job.workflow_id)
      order by run_at, id
      limit least(greatest(p_per_kind, 1), 500)) as job;
$$;

revoke all on function public.loom_list_waiting from public, anon, authenticated, service_role;
grant execute on function public.loom_list_waiting to service_role;
