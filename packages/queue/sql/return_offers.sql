-- Takes a node's offers back, all of them or those that demand something, so that
-- they are placed anew at once and not when they expire.
--
-- That is nobody's refusal: the node may well be offered them again, so it is not noted
-- in declined_by. A pinned job has nowhere else to go and stays. Nobody is waited for:
-- an offer that is locked is being claimed, declined or reaped at this moment.
create or replace function public.loom_return_offers(p_node text, p_demanding boolean, p_why text)
  returns integer
  language plpgsql
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
declare
  v_returned integer;
begin
  with offer as materialized (
    select id from public.loom_job_queue
     where state = 'pending' and target_host = p_node and not host_pinned
       and (not p_demanding or requires <> '{}')
     order by id
       for no key update skip locked
  ),
  returned as (
    update public.loom_job_queue as job
       set state            = 'waiting',
           target_host      = null,
           offer_expires_at = null,
           waiting_reason   = jsonb_build_object('code', 'offer_returned', 'summary', p_why)
      from offer
     where job.id = offer.id
    returning job.id, job.run_id
  ),
  event as (
    insert into public.loom_events (type, run_id, job_id, state, node, detail)
    select 'job.declined', run_id, id, 'waiting', p_node, p_why from returned
  )
  select count(*) into v_returned from returned;
  return v_returned;
end $$;

revoke all on function public.loom_return_offers from public, anon, authenticated, service_role;
