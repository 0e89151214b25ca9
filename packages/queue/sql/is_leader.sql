-- Whether nobody took the lead over since the epoch of the caller, until the end of its
-- transaction: the next leader waits for this lock, and a caller that waited for the
-- next leader's finds another epoch.
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

revoke all on function public.loom_is_leader from public, anon, authenticated, service_role;
