-- The token or session of a digest while it is good for something, else null.
--
-- When it was last used is written once a minute at most: a busy token would
-- otherwise be one row that every request updates.
create or replace function public.loom_find_token(p_digest text)
  returns json
  language plpgsql
  security definer
  set search_path = ''
as $$
declare
  v_now   timestamptz := clock_timestamp();
  v_token public.loom_tokens;
begin
  select token.* into v_token
    from public.loom_tokens as token
    left join public.loom_tokens as parent on parent.id = token.parent
   where token.digest = p_digest
     and token.revoked_at is null and coalesce(token.expires_at > v_now, true)
     and parent.revoked_at is null and coalesce(parent.expires_at > v_now, true);
  if v_token.id is null then
    return null;
  end if;
  update public.loom_tokens set last_used_at = v_now
   where id = v_token.id and coalesce(last_used_at < v_now - interval '1 minute', true);
  return public.loom_describe_token(v_token);
end $$;

revoke all on function public.loom_find_token from public, anon, authenticated, service_role;
grant execute on function public.loom_find_token to service_role;
