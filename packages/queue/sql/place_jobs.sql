-- Writes what the placing loop decided: offers for jobs that got a node, reasons
-- for those that did not.
--
-- Only a job that is still waiting is touched, under its lock: of two hubs that
-- place one job the first wins, and the second's offer is not counted as placed.
-- Nobody is waited for (skip locked), so placing cannot deadlock.
--
-- A reason is an event when its code is another one than before: figures in its sentence may
-- change often, what it is about does not.
--
-- p_notify rings the channel loom_offers with the nodes' names, for direct connections
-- that listen. Off by default: a notification takes a lock at commit that all share.
--
-- p_offers: [{"job": 1, "node": "pop-os", "placement": {…}}, …]
-- p_reasons: [{"job": 2, "reason": {…}}, …]
create or replace function public.loom_place_jobs(
  p_offers   json,
  p_reasons  json default '[]',
  p_offer_ms integer default 15000,
  p_notify   boolean default false
)
  returns json
  language plpgsql
  security definer
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
as $$
declare
  v_placed bigint[];
  v_nodes  text;
begin
  with offer as materialized (
    select job, node, placement
      from json_to_recordset(p_offers) as t(job bigint, node text, placement jsonb)
     where node is not null
  ),
  waiting as materialized (
    select id from public.loom_job_queue
     where id = any(array(select job from offer)) and state = 'waiting'
     order by id
       for no key update skip locked
  ),
  placed as (
    update public.loom_job_queue as job
       set state            = 'pending',
           target_host      = offer.node,
           placement        = offer.placement,
           waiting_reason   = null,
           offer_expires_at = clock_timestamp() + p_offer_ms * interval '1 millisecond'
      from waiting
      join offer on offer.job = waiting.id
     where job.id = waiting.id
    returning job.id, job.run_id, job.target_host
  ),
  event as (
    insert into public.loom_events (type, run_id, job_id, state, node)
    select 'job.offered', run_id, id, 'pending', target_host from placed
  )
  select coalesce(array_agg(id order by id), '{}'), string_agg(distinct target_host, ',')
    into v_placed, v_nodes
    from placed;
  if p_notify and v_nodes is not null and length(v_nodes) < 8000 then
    perform pg_notify('loom_offers', v_nodes);
  end if;

  with reason as materialized (
    select job, reason from json_to_recordset(p_reasons) as t(job bigint, reason jsonb)
  ),
  waiting as materialized (
    select id, waiting_reason from public.loom_job_queue
     where id = any(array(select job from reason)) and state = 'waiting'
     order by id
       for no key update skip locked
  ),
  told as (
    update public.loom_job_queue as job
       set waiting_reason = reason.reason
      from waiting
      join reason on reason.job = waiting.id
     where job.id = waiting.id
    returning job.id, job.run_id, waiting.waiting_reason ->> 'code' as before, reason.reason ->> 'code' as code
  )
  insert into public.loom_events (type, run_id, job_id, state, detail)
  select 'job.waiting', run_id, id, 'waiting', code from told where code is distinct from before;

  return json_build_object('placed', to_json(v_placed));
end $$;

revoke all on function public.loom_place_jobs from public, anon, authenticated, service_role;
grant execute on function public.loom_place_jobs to service_role;
