-- Gives up the lead, so that another hub need not wait for the lease to run out. Who
-- does not hold it under this epoch changes nothing.
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

revoke all on function public.loom_resign from public, anon, authenticated, service_role;
grant execute on function public.loom_resign to service_role;
