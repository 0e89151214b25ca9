-- A token's row as the API shows it, without its digest.
create or replace function public.loom_describe_token(p_token public.loom_tokens)
  returns json
  language sql
  stable
  set search_path = ''
as $$
  select json_build_object(
    'id', p_token.id, 'name', p_token.name, 'scopes', p_token.scopes, 'is_session', p_token.is_session,
    'created_by', p_token.created_by, 'created_at', p_token.created_at, 'expires_at', p_token.expires_at,
    'last_used_at', p_token.last_used_at, 'revoked_at', p_token.revoked_at);
$$;

revoke all on function public.loom_describe_token from public, anon, authenticated, service_role;
