-- Takes or keeps the lead of the hubs. One holder at a time places, reaps, runs
-- schedules and prunes.
--
-- The database's clock measures the lease. The holder renews it under the same epoch,
-- even after it expired, as long as nobody else took it. Another holder gets a free or
-- expired lease under the next epoch. A repeated call after a lost answer returns the
-- same.
--
-- A holder is named after the node that its hub works as, `node/anything`. A hub that
-- starts again takes the lease of its predecessor at once: another hub with the name of
-- its node has ended, or ends because its node's session is superseded.
--
-- A lease that ends more than an hour from now is longer than any lease. It was taken
-- before the clock was set back, and counts as expired.
--
-- Two calls at the same time: the row's lock orders them, and the second sees the
-- first's lease.
--
-- A caller that is not the leader gets the address to wake the leader, which the
-- leader's node has reported.
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
   where duty = 'loops' and (holder is null or split_part(holder, '/', 1) = split_part(p_holder, '/', 1)
                             or expires_at <= clock_timestamp()
                             or expires_at > clock_timestamp() + interval '1 hour')
  returning * into v_leader;
  v_leading := found;
  if not v_leading then
    select * into strict v_leader from public.loom_leaders where duty = 'loops';
  end if;
  return json_build_object(
    'leading', v_leading, 'holder', v_leader.holder, 'epoch', v_leader.epoch,
    'wake_server', (select json_build_object(
                          'name', name, 'tailnet_address', tailnet_address, 'wake_port', wake_port,
                          'boot', session.boot)
                   from public.openclaw_instances
                   left join public.loom_node_sessions as session on session.node = name
                  where not v_leading and name = split_part(v_leader.holder, '/', 1) and wake_port is not null),
    'expires_in_ms', greatest(0, ceil(extract(epoch from v_leader.expires_at - clock_timestamp()) * 1000)));
end $$;

-- Gives up the lead, so that another hub need not wait until the lease expires. It does
-- nothing unless the caller holds the lead under this epoch.
create or replace function public.loom_resign(p_holder text, p_epoch bigint)
  returns json
  language plpgsql
  security definer
  set search_path = ''
  set lock_timeout = '5s'
as $$
begin
  update public.loom_leaders
     set holder = null, expires_at = null
   where duty = 'loops' and holder = p_holder and epoch = p_epoch;
  return json_build_object('resigned', found);
end $$;

-- Whether nobody has taken over the lead since the caller's epoch. The answer holds
-- until the end of the transaction: the next leader waits for this lock, and a caller
-- that waited for the next leader's lock finds another epoch.
create or replace function public.loom_is_leader(p_epoch bigint)
  returns boolean
  language plpgsql
  set search_path = ''
as $$
begin
  perform from public.loom_leaders
    where duty = 'loops' and epoch = p_epoch and holder is not null
      for share;
  return found;
end $$;
