-- Every token of the API, newest first, also what is revoked; sessions are not shown.
create or replace function public.loom_list_tokens()
  returns json
  language sql
  stable
  security definer
  set search_path = ''
as $$
  select coalesce(json_agg(public.loom_describe_token(token) order by created_at desc, id), '[]')
    from public.loom_tokens as token
   where not is_session;
$$;

revoke all on function public.loom_list_tokens from public, anon, authenticated, service_role;
grant execute on function public.loom_list_tokens to service_role;
