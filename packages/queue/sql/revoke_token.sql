-- Revokes a token or a session, and with it the sessions that were opened with it. Null
-- when there is none; again, it stays as it was.
create or replace function public.loom_revoke_token(p_token uuid)
  returns json
  language plpgsql
  security definer
  set search_path = ''
as $$
declare
  v_token public.loom_tokens;
begin
  update public.loom_tokens set revoked_at = coalesce(revoked_at, clock_timestamp())
   where id = p_token
  returning * into v_token;
  return case when v_token.id is not null then public.loom_describe_token(v_token) end;
end $$;

revoke all on function public.loom_revoke_token from public, anon, authenticated, service_role;
grant execute on function public.loom_revoke_token to service_role;
