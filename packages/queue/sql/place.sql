-- Writes the decisions of the placing loop: offers for jobs that got a node, reasons
-- for the others, and which of these are open to nodes that are full now (see
-- loom_ready): they are taken in the given order. A job with a concurrency key is never
-- open, because its offer takes a place of its key.
--
-- Only a job that is still waiting is changed, under its lock and that of its row in loom_ready. If two hubs place one
-- job, the first wins, and the second's offer does not count as placed. Locked jobs are
-- skipped, so placing cannot deadlock.
--
-- A new reason is an event only when its code has changed: the numbers in its sentence
-- may change often.
--
-- p_notify notifies the channel loom_offers with the nodes' names, for direct
--   connections that listen. It is off by default, because a notification takes a
--   global lock at commit.
--
-- p_offers:  [{"job": 1, "node": "pop-os", "placement": {…}}, …]
-- p_reasons: [{"job": 2, "reason": {…}}, …]
-- p_open:    [{"job": 3, "nodes": ["pop-os", …]}, …]
create or replace function public.loom_place_jobs(
  p_offers   json,
  p_reasons  json default '[]',
  p_offer_ms integer default 15000,
  p_notify   boolean default false,
  p_open     json default '[]'
)
  returns json
  language plpgsql
  security definer
  set search_path = ''
  set plan_cache_mode = force_generic_plan
  set enable_seqscan = off
  set enable_bitmapscan = off
as $$
declare
  v_now    timestamptz := clock_timestamp();
  v_placed bigint[] := '{}';
  v_nodes  text;
begin
  if p_offer_ms is null or p_offer_ms not between 1 and 3600000 then
    raise exception 'an offer stands for 1 to 3600000 ms'
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'the default is 15000';
  end if;
  -- Most rounds write one kind of decision. A statement that has nothing to write costs as much as one that has.
  if json_array_length(p_offers) > 0 then
    with offer as materialized (
      select job, node, placement
        from json_to_recordset(p_offers) as t(job bigint, node text, placement jsonb)
       where node is not null
    ),
    waiting as materialized (
      select job_id as id from public.loom_ready
       where job_id = any(array(select job from offer)) and host is null
       order by job_id
         for update skip locked
    ),
    free as materialized (
      select id from public.loom_jobs where id = any(array(select id from waiting)) order by id for no key update skip locked
    ),
    placed as (
      update public.loom_jobs as job
         set state          = 'pending',
             target_host    = offer.node,
             waiting_reason = null
        from free
        join offer on offer.job = free.id
       where job.id = any(array[free.id])
      returning job.id, job.run_id, job.target_host, offer.placement
    ),
    ready as (
      update public.loom_ready as ready
         set host = placed.target_host, offer_expires_at = clock_timestamp() + p_offer_ms * interval '1 millisecond',
             open_to = null, open_until = null
        from placed
       where ready.job_id = any(array[placed.id])
    ),
    detail as (
      insert into public.loom_job_details (job_id, placement)
      select id, placement from placed
      on conflict (job_id) do update set placement = excluded.placement
    ),
    event as (
      insert into public.loom_event_batches (type, state, node, jobs, runs)
      select 'job.offered', 'pending', target_host, array_agg(id order by id), array_agg(run_id order by id)
        from placed group by target_host, id / 10000
    )
    select coalesce(array_agg(id order by id), '{}'), string_agg(distinct target_host, ',')
      into v_placed, v_nodes
      from placed;
    if p_notify and v_nodes is not null and length(v_nodes) < 8000 then
      perform pg_notify('loom_offers', v_nodes);
    end if;
  end if;

  if json_array_length(p_open) > 0 then
    with given as materialized (
      select job, nodes, place
        from rows from (json_to_recordset(p_open) as (job bigint, nodes text[])) with ordinality as t(job, nodes, place)
       where cardinality(nodes) between 1 and 100
    ),
    waiting as materialized (
      select job_id as id from public.loom_ready
       where job_id = any(array(select job from given)) and host is null and concurrency_key is null
       order by job_id
         for update skip locked
    )
    update public.loom_ready as ready
       set open_to = given.nodes,
           -- Also their order.
           open_until = v_now + p_offer_ms * interval '1 millisecond' + given.place * interval '1 microsecond'
      from waiting
      join given on given.job = waiting.id
     where ready.job_id = any(array[waiting.id]);
  end if;

  if json_array_length(p_reasons) > 0 then
    with reason as materialized (
      select job, reason from json_to_recordset(p_reasons) as t(job bigint, reason jsonb)
    ),
    waiting as materialized (
      select ready.job_id as id from public.loom_ready as ready
       where ready.job_id = any(array(select job from reason)) and ready.host is null
       order by ready.job_id
         for update skip locked
    ),
    before as materialized (
      select job.id, job.waiting_reason ->> 'code' as code from public.loom_jobs as job
       where job.id = any(array(select id from waiting)) order by job.id for no key update skip locked
    ),
    refused as (
      update public.loom_jobs as job
         set waiting_reason = reason.reason
        from before
        join reason on reason.job = before.id
       where job.id = any(array[before.id])
      returning job.id, job.run_id, before.code as before, reason.reason ->> 'code' as code
    )
    insert into public.loom_event_batches (type, state, detail, jobs, runs)
    select 'job.waiting', 'waiting', code, array_agg(id order by id), array_agg(run_id order by id)
      from refused where code is distinct from before group by code, id / 10000;
  end if;

  return json_build_object('placed', to_json(v_placed));
end $$;
