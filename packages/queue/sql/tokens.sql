-- Returns a token's row as the API shows it, without its digest. A session also has its
-- origin, the first of its chain: the name of a token (root), or the fingerprint of a
-- hub's own token (bootstrap).
create or replace function public.loom_describe_token(p_token public.loom_tokens)
  returns json
  language sql
  stable
  set search_path = ''
as $$
  with recursive chain as (
    select p_token.parent, p_token.name, p_token.bootstrap
    union all
    select opener.parent, opener.name, opener.bootstrap
      from chain
      join public.loom_tokens as opener on opener.id = chain.parent
  )
  select json_build_object(
    'id', p_token.id, 'name', p_token.name, 'scopes', p_token.scopes, 'is_session', p_token.is_session,
    'root', case when chain.bootstrap is null then chain.name end, 'bootstrap', chain.bootstrap,
    'created_by', p_token.created_by, 'created_at', p_token.created_at, 'expires_at', p_token.expires_at,
    'last_used_at', p_token.last_used_at, 'revoked_at', p_token.revoked_at)
    from chain
   where chain.parent is null;
$$;

-- Adds a token of the API by its digest, or, with p_parent or p_bootstrap, a session of
-- the dashboard. A session ends no later than p_parent, the token or session that it
-- was opened with. A session that was opened with the token of a hub's environment ends
-- with that token, of which p_bootstrap is a fingerprint.
--
-- A session that is opened while its parent is being revoked ends with it, because
-- every lookup checks the parent.
create or replace function public.loom_create_token(
  p_name        text,
  p_digest      text,
  p_scopes      text[],
  p_lifetime_ms bigint default null,
  p_created_by  text default null,
  p_parent      uuid default null,
  p_bootstrap   text default null
)
  returns json
  language plpgsql
  security definer
  set search_path = ''
as $$
declare
  c_chain constant integer := 8;
  v_now     timestamptz := clock_timestamp();
  v_session boolean := p_parent is not null or p_bootstrap is not null;
  v_token   public.loom_tokens;
begin
  if p_lifetime_ms not between 1000 and 315360000000 then
    raise exception 'a token is valid for 1 second to 10 years'
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'leave the time out for a token that does not expire';
  end if;
  if (with recursive chain as (
        select parent from public.loom_tokens where id = p_parent
        union all
        select opener.parent from chain join public.loom_tokens as opener on opener.id = chain.parent
      )
      select count(*) from chain) > c_chain then
    raise exception 'a session is at most 8 sessions away from its token'
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'open the session with the token itself';
  end if;
  -- Sessions are many and short-lived, so expired ones are removed when a new one is
  -- added.
  if v_session then
    delete from public.loom_tokens as token
     using (select id from public.loom_tokens
             where is_session and expires_at < v_now limit 20 for update skip locked) as ended
     where token.id = ended.id;
  end if;
  insert into public.loom_tokens (name, digest, scopes, is_session, parent, bootstrap, created_by, created_at, expires_at)
  values (p_name, p_digest, p_scopes, v_session, p_parent, p_bootstrap, p_created_by, v_now,
          least(v_now + p_lifetime_ms * interval '1 millisecond',
                (select expires_at from public.loom_tokens where id = p_parent)))
  on conflict (name) where not is_session and revoked_at is null do nothing
  returning * into v_token;
  if v_token.id is null then
    raise exception 'a token with this name already exists'
      using errcode = 'PT409', detail = 'TOKEN_NAME_TAKEN', hint = 'choose another name, or revoke the other token first';
  end if;
  return public.loom_describe_token(v_token);
end $$;

-- Returns the token or session of a digest while it is valid, else null. A session is
-- valid while everything that it was opened with is, however long the chain is.
--
-- The time of the last use is written at most once a minute. Otherwise every request
-- with a busy token would update one row.
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
  select token.* into v_token from public.loom_tokens as token where token.digest = p_digest;
  if v_token.id is null or not (
       with recursive chain as (
         select v_token.parent, v_token.revoked_at, v_token.expires_at
         union all
         select opener.parent, opener.revoked_at, opener.expires_at
           from chain
           join public.loom_tokens as opener on opener.id = chain.parent
       )
       select bool_and(revoked_at is null and coalesce(expires_at > v_now, true)) from chain) then
    return null;
  end if;
  update public.loom_tokens set last_used_at = v_now
   where id = v_token.id and coalesce(last_used_at < v_now - interval '1 minute', true);
  return public.loom_describe_token(v_token);
end $$;

-- Lists every token of the API, newest first, including revoked ones and without
-- sessions.
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

-- Lists the valid sessions, newest first, at most 1000. It walks from the tokens down,
-- so a session below an invalid one is not shown.
create or replace function public.loom_list_sessions()
  returns json
  language sql
  stable
  security definer
  set search_path = ''
as $$
  with recursive good as (
    select token.* from public.loom_tokens as token
     where parent is null and revoked_at is null and coalesce(expires_at > clock_timestamp(), true)
    union all
    select opened.*
      from good
      join public.loom_tokens as opened on opened.parent = good.id
     where opened.revoked_at is null and coalesce(opened.expires_at > clock_timestamp(), true)
  ),
  newest as (
    select id from good where is_session order by created_at desc, id limit 1000
  )
  select coalesce(json_agg(public.loom_describe_token(token) order by created_at desc, id), '[]')
    from public.loom_tokens as token
   where id in (select id from newest);
$$;

-- Revokes a token or a session and thereby every session that was opened with it,
-- because a lookup checks the whole chain. Null if the id does not exist. A second call
-- changes nothing.
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
