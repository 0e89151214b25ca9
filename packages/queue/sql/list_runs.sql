-- Runs, newest first, without their inputs and results: how far each has come, and
-- which nodes it has used. Every filter may be null. p_after is the next of an answer.
--
-- One call looks at 10 000 runs at most, so a page can be shorter than p_limit, or
-- empty, and still have a next: what it costs does not depend on how rare a match is.
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
    raise exception 'not a place in a list of runs: %', left(p_after, 100)
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
  -- Only asked for when the page is not full.
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
      'steps', (select json_object_agg(state, jobs)
                  from (select state, count(*) as jobs from public.loom_job_queue
                         where run_id = run.id group by state) as counted),
      'nodes', (select coalesce(json_agg(node order by node), '[]')
                  from (select distinct ran_on as node from public.loom_job_queue
                         where run_id = run.id and ran_on is not null) as used))
      order by run.created_at desc, run.id desc) from page as run), '[]'),
    'next', (select format('%s.%s', (extract(epoch from created_at) * 1000000)::bigint, id) from last limit 1))
    into v_answer;
  return v_answer;
end $$;

revoke all on function public.loom_list_runs from public, anon, authenticated, service_role;
grant execute on function public.loom_list_runs to service_role;
