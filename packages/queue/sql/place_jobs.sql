-- Writes what the placing loop decided: offers for jobs that got a node, reasons
-- for those that did not.
--
-- Only a job that is still waiting is touched, under its lock: of two hubs that
-- place one job the first wins, and the second's offer is not counted as placed.
-- Nobody is waited for (skip locked), so placing cannot deadlock.
--
-- p_offers: [{"job": 1, "node": "pop-os", "placement": {…}}, …]
-- p_reasons: [{"job": 2, "reason": {…}}, …]
create or replace function public.loom_place_jobs(
  p_offers   json,
  p_reasons  json default '[]',
  p_offer_ms integer default 15000
)
  returns json
  language plpgsql
  security definer
  set search_path = ''
as $$
declare
  v_placed bigint[];
begin
  with offer as materialized (
    select job, node, placement
      from json_to_recordset(p_offers) as t(job bigint, node text, placement jsonb)
     where node is not null
  ),
  waiting as materialized (
    select id from public.loom_job_queue
     where id in (select job from offer) and state = 'waiting'
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
    returning job.id
  )
  select coalesce(array_agg(id order by id), '{}') into v_placed from placed;

  with reason as materialized (
    select job, reason from json_to_recordset(p_reasons) as t(job bigint, reason jsonb)
  ),
  waiting as materialized (
    select id from public.loom_job_queue
     where id in (select job from reason) and state = 'waiting'
     order by id
       for no key update skip locked
  )
  update public.loom_job_queue as job
     set waiting_reason = reason.reason
    from waiting
    join reason on reason.job = waiting.id
   where job.id = waiting.id;

  return json_build_object('placed', to_json(v_placed));
end $$;

revoke all on function public.loom_place_jobs from public, anon, authenticated, service_role;
grant execute on function public.loom_place_jobs to service_role;
