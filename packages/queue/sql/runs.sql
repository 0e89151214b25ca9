-- Why a job does not run, as {"code", "summary"}. Null while it runs or is about to.
--
-- A job that is pinned to a node never waits to be placed, so its reason is that node's. A step that maps over a list has
-- the reason of its newest item, unless one of its items runs.
create or replace function public.loom_job_waits(p_job public.loom_jobs)
  returns jsonb
  language plpgsql
  stable
  set search_path = ''
as $$
declare
  v_item public.loom_jobs;
begin
  if p_job.state = 'running' then
    return null;
  elsif exists (select from public.loom_paused_workflows as paused where paused.workflow_id = p_job.workflow_id) then
    return jsonb_build_object('code', 'paused_workflow', 'summary', 'its workflow is paused');
  elsif p_job.state = 'mapping' then
    select item.* into v_item
      from public.loom_maps as map
     cross join lateral (
       select * from public.loom_jobs where item_of = p_job.id and item_index < map.released order by item_index desc limit 1) as item
     where map.job_id = p_job.id;
    -- Every running job is held by a session.
    return case when v_item.id is not null and v_item.finished_at is null and not exists (
             select from public.loom_node_sessions as session, unnest(session.held) as held(id)
              cross join lateral (select from public.loom_jobs where id = held.id and item_of = p_job.id and state = 'running' offset 0) as job)
           then public.loom_job_waits(v_item) end;
  elsif p_job.state = 'suspended' then
    return p_job.waiting_reason;
  elsif p_job.run_at > now() then
    return jsonb_build_object('code', 'not_due', 'summary', 'the next attempt is not due yet');
  elsif p_job.state = 'waiting' then
    return p_job.waiting_reason;
  elsif not p_job.host_pinned then
    return null;
  elsif not exists (select from public.loom_node_sessions as session
                     where session.node = p_job.target_host and not session.dead and session.expires_at > now()) then
    return jsonb_build_object('code', 'no_capable_node_online', 'summary', p_job.target_host || ' is offline');
  elsif exists (select from public.openclaw_instances as node
                 where node.name = p_job.target_host and node.status <> 'active') then
    return jsonb_build_object('code', 'no_capable_node_active', 'summary', p_job.target_host || ' takes no work');
  end if;
  return null;
end $$;

-- Why nothing of a run runs, as {"code", "summary"}: the reason of its first unfinished step. Null while a
-- step runs or is about to, and for a run that is finished.
create or replace function public.loom_run_waits(p_run uuid)
  returns jsonb
  language plpgsql
  stable
  set search_path = ''
as $$
begin
  return (
    select case when bool_and(reason is not null) then (array_agg(reason order by id))[1] end
      from (
        select job.id, public.loom_job_waits(job) as reason
          from public.loom_jobs as job
         where job.run_id = p_run and job.item_of is null and job.finished_at is null and job.state <> 'blocked') as open_step);
end $$;

-- Returns a run with its steps in the order of the workflow, or null.
--
-- Its results and errors are bounded together (run_bytes), smallest first. A step that
-- would exceed the bound comes without them; loom_get_job returns them.
create or replace function public.loom_get_run(p_run uuid)
  returns json
  language plpgsql
  stable
  security definer
  set search_path = ''
as $$
begin
  return (
    select json_build_object(
      'id', run.id, 'workflow_id', run.workflow_id, 'version', run.version, 'input', run.input,
      'raw_input', coalesce(run.raw_input, run.input),
      'status', run.status, 'trigger', run.trigger, 'asked_by', run.asked_by, 'retry_of', run.retry_of,
      'created_at', run.created_at, 'finished_at', run.finished_at,
      'waiting_reason', case when run.status = 'running' then public.loom_run_waits(run.id) end,
      'jobs', (select coalesce(json_agg(public.loom_describe_job(step.job, step.bytes > public.loom_limit('run_bytes'))
                                        order by (step.job).id), '[]')
                 from (select job, sum(coalesce(octet_length(job.result), 0) + coalesce(octet_length(job.error), 0))
                                     over (order by coalesce(octet_length(job.result), 0) + coalesce(octet_length(job.error), 0), job.id) as bytes
                         from public.loom_job_queue as job
                        where job.run_id = run.id and job.item_of is null) as step))
      from public.loom_runs as run
     where run.id = p_run);
end $$;

-- Lists runs, newest first, without inputs and results: the progress of each, and the
-- nodes that it has used. Every filter may be null. p_after is the `next` of an earlier
-- answer.
--
-- One call reads at most 10 000 runs, so a page can be shorter than p_limit, or empty,
-- and still have a `next`. So the cost does not depend on how rare a match is.
create or replace function public.loom_list_runs(
  p_workflow text default null,
  p_status   text default null,
  p_trigger  text default null,
  p_asked_by text default null,
  p_since    timestamptz default null,
  p_until    timestamptz default null,
  p_after    text default null,
  p_limit    integer default 50
)
  returns json
  language plpgsql
  stable
  security definer
  set search_path = ''
as $$
declare
  v_at     timestamptz := 'infinity';
  v_id     uuid := 'ffffffff-ffff-ffff-ffff-ffffffffffff';
  v_limit  integer := least(greatest(p_limit, 1), 500);
  v_answer json;
begin
  if p_after !~ '^[0-9]{1,16}\.[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then
    raise exception 'unknown cursor of a list of runs'
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'use the next of an earlier answer';
  elsif p_after is not null then
    v_at := timestamptz 'epoch' + split_part(p_after, '.', 1)::bigint * interval '1 microsecond';
    v_id := split_part(p_after, '.', 2)::uuid;
  end if;

  with seen as (
    (select * from public.loom_runs
      where p_workflow is null
        and (created_at, id) < (v_at, v_id) and created_at < coalesce(p_until, 'infinity')
        and created_at >= coalesce(p_since, '-infinity')
      order by created_at desc, id desc limit 10000)
    union all
    (select * from public.loom_runs
      where workflow_id = p_workflow
        and (created_at, id) < (v_at, v_id) and created_at < coalesce(p_until, 'infinity')
        and created_at >= coalesce(p_since, '-infinity')
      order by created_at desc, id desc limit 10000)
  ),
  page as materialized (
    select * from seen
     where status = coalesce(p_status, status)
       and trigger = coalesce(p_trigger, trigger)
       and (p_asked_by is null or asked_by = p_asked_by)
     limit v_limit
  ),
  -- Read only when the page is not full.
  last as (
    select * from (select created_at, id from page offset v_limit - 1 limit 1) as full_page
    union all
    select * from (select created_at, id from seen offset 9999 limit 1) as all_seen
     where (select count(*) from page) < v_limit
  )
  select json_build_object(
    'runs', coalesce((select json_agg(json_build_object(
      'id', run.id, 'workflow_id', run.workflow_id, 'version', run.version, 'status', run.status,
      'trigger', run.trigger, 'asked_by', run.asked_by, 'retry_of', run.retry_of, 'key', run.idempotency_key,
      'created_at', run.created_at, 'finished_at', run.finished_at,
      'waiting_reason', case when run.status = 'running' then public.loom_run_waits(run.id) end,
      'steps', (select json_object_agg(state, jobs)
                  from (select state, count(*) as jobs from public.loom_jobs
                         where run_id = run.id and item_of is null group by state) as counted),
      'nodes', (select coalesce(json_agg(node order by node), '[]')
                  from (select ran_on as node from public.loom_jobs
                         where run_id = run.id and item_of is null and ran_on is not null
                         union
                        select unnest(map.nodes) from public.loom_jobs as job
                          join public.loom_maps as map on map.job_id = job.id
                         where job.run_id = run.id and job.item_of is null) as used))
      order by run.created_at desc, run.id desc) from page as run), '[]'),
    'next', (select format('%s.%s', (extract(epoch from created_at) * 1000000)::bigint, id) from last limit 1))
    into v_answer;
  return v_answer;
end $$;

-- Cancels the unfinished steps of a run. Null if the run does not exist.
create or replace function public.loom_cancel_run(p_run uuid)
  returns json
  language plpgsql
  security definer
  set search_path = ''
  set lock_timeout = '5s'
as $$
declare
  v_status text;
begin
  perform from public.loom_runs where id = p_run for no key update;
  perform public.loom_cancel_jobs(array(
    select id from public.loom_jobs where run_id = p_run and item_of is null and finished_at is null));
  select status into v_status from public.loom_runs where id = p_run;
  return case when v_status is not null then json_build_object('status', v_status) end;
end $$;
