-- Adds a token of the API by its digest, or (with p_session) a session of the
-- dashboard, which ends with the token p_parent that it was opened with.
create or replace function public.loom_create_token(
  p_name        text,
  p_digest      text,
  p_scopes      text[],
  p_lifetime_ms bigint default null,
  p_created_by  text default null,
  p_session     boolean default false,
  p_parent      uuid default null
)
  returns json
  language plpgsql
  security definer
  set search_path = ''
as $$
declare
  v_now   timestamptz := clock_timestamp();
  v_token public.loom_tokens;
begin
  if p_lifetime_ms not between 1000 and 315360000000 then
    raise exception 'a token lives a second to ten years'
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'leave it out for one that does not expire';
  end if;
  -- Sessions are many and short: those that are over go when a new one comes.
  if p_session then
    delete from public.loom_tokens as token
     using (select id from public.loom_tokens
             where is_session and expires_at < v_now limit 20 for update skip locked) as ended
     where token.id = ended.id;
  end if;
  insert into public.loom_tokens (name, digest, scopes, is_session, parent, created_by, created_at, expires_at)
  values (p_name, p_digest, p_scopes, p_session, p_parent, p_created_by, v_now,
          v_now + p_lifetime_ms * interval '1 millisecond')
  on conflict (name) where not is_session and revoked_at is null do nothing
  returning * into v_token;
  if v_token.id is null then
    raise exception 'there is a token named %', p_name
      using errcode = 'PT409', detail = 'TOKEN_NAME_TAKEN', hint = 'choose another name, or revoke that one first';
  end if;
  return public.loom_describe_token(v_token);
end $$;

revoke all on function public.loom_create_token from public, anon, authenticated, service_role;
grant execute on function public.loom_create_token to service_role;
