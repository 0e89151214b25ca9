-- Gives offers back that a node will not take, before claiming them, with the reason.
--
-- Only its own offers that are still pending are touched; a pinned job has nowhere
-- else to go and stays. Nobody is waited for: an offer that is locked is being
-- claimed, or reaped, at this moment.
create or replace function public.loom_decline_jobs(p_node text, p_jobs bigint[], p_reason text)
  returns json
  language plpgsql
  security definer
  set search_path = ''
as $$
declare
  v_node     text := public.loom_acting_node(p_node);
  v_declined bigint[];
begin
  with offer as materialized (
    select id from public.loom_job_queue
     where id = any(p_jobs) and state = 'pending' and target_host = v_node and not host_pinned
     order by id
       for no key update skip locked
  ),
  declined as (
    update public.loom_job_queue as job
       set state            = 'waiting',
           target_host      = null,
           offer_expires_at = null,
           declined_by      = (array_append(job.declined_by, v_node))[greatest(1, cardinality(job.declined_by) - 18):],
           waiting_reason   = jsonb_build_object('code', 'declined', 'summary', left(p_reason, 2000))
      from offer
     where job.id = offer.id
    returning job.id, job.run_id
  ),
  event as (
    insert into public.loom_events (type, run_id, job_id, state, node, detail)
    select 'job.declined', run_id, id, 'waiting', v_node, left(p_reason, 2000) from declined
  )
  select coalesce(array_agg(id order by id), '{}') into v_declined from declined;
  return json_build_object('declined', to_json(v_declined));
end $$;

revoke all on function public.loom_decline_jobs from public, anon, authenticated, service_role;
grant execute on function public.loom_decline_jobs to service_role;
