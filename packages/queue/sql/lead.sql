-- Takes the lead of the hubs, or keeps it: one holder at a time does what only one
-- should do (placing, reaping, schedules, retention).
--
-- The lease is measured by this clock. Whoever holds it renews it under the same epoch,
-- also when it ran out and nobody came; another holder gets it when it is free or ran
-- out, under the next epoch. Asked again after a lost answer, it answers the same.
--
-- Two that ask at the same time: the row's lock lets one after the other, and the second
-- sees the first's lease.
--
-- Whoever is not the leader is told where that one is rung: a holder is called after the
-- node that its hub works as, `node/anything`, and the node has said where its doorbell is.
create or replace function public.loom_lead(p_holder text, p_lease_ms integer)
  returns json
  language plpgsql
  security definer
  set search_path = ''
  set lock_timeout = '5s'
as $$
declare
  v_leader  public.loom_leaders;
  v_leading boolean;
begin
  if p_holder is null or p_lease_ms is null or p_lease_ms not between 1000 and 3600000 then
    raise exception 'a leader has a name, and a lease of 1000 to 3600000 ms'
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'check the hub''s settings';
  end if;
  update public.loom_leaders
     set epoch      = epoch + case when holder = p_holder then 0 else 1 end,
         holder     = p_holder,
         ticked_at  = clock_timestamp(),
         expires_at = clock_timestamp() + p_lease_ms * interval '1 millisecond'
   where duty = 'loops' and (holder is null or holder = p_holder or expires_at <= clock_timestamp())
  returning * into v_leader;
  v_leading := found;
  if not v_leading then
    select * into strict v_leader from public.loom_leaders where duty = 'loops';
  end if;
  return json_build_object(
    'leading', v_leading, 'holder', v_leader.holder, 'epoch', v_leader.epoch,
    'doorbell', (select json_build_object(
                          'name', name, 'tailnet_address', tailnet_address, 'doorbell_port', doorbell_port)
                   from public.openclaw_instances
                  where not v_leading and name = split_part(v_leader.holder, '/', 1) and doorbell_port is not null),
    'expires_in_ms', greatest(0, ceil(extract(epoch from v_leader.expires_at - clock_timestamp()) * 1000)));
end $$;

revoke all on function public.loom_lead from public, anon, authenticated, service_role;
grant execute on function public.loom_lead to service_role;
