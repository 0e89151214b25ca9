-- A join token as administrators see it: without its digest.
create or replace function public.loom_describe_join_token(p_token public.loom_join_tokens)
  returns json
  language sql
  stable
  set search_path = ''
as $$
  select json_build_object(
    'id', p_token.id, 'node', p_token.node, 'may_offer', p_token.may_offer, 'created_by', p_token.created_by,
    'created_at', p_token.created_at, 'expires_at', p_token.expires_at, 'uses_left', p_token.uses_left,
    'revoked_at', p_token.revoked_at,
    'joined', (select coalesce(json_agg(json_build_object('node', node, 'key_id', id, 'at', created_at) order by created_at), '[]')
                 from public.loom_node_keys where token_id = p_token.id));
$$;

-- Adds a token that machines join with, by its digest. A repeated call with the same digest gets the same answer.
create or replace function public.loom_create_join_token(
  p_digest      text,
  p_created_by  text,
  p_node        text default null,
  p_may_offer   text[] default '{}',
  p_lifetime_ms bigint default 900000,
  p_uses        integer default 1
)
  returns json
  language plpgsql
  security definer
  set search_path = ''
as $$
declare
  v_token public.loom_join_tokens;
begin
  if p_node !~ '^[a-z0-9][a-z0-9._-]{0,62}$' then
    raise exception 'this is not a node name'
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT',
            hint = 'a node name has 1 to 63 of a-z, 0-9, dot, underscore and hyphen, and begins with a letter or digit';
  end if;
  if p_lifetime_ms is null or p_lifetime_ms not between 1000 and 2592000000
     or p_uses is null or p_uses not between 1 and 1000 or (p_node is not null and p_uses > 1) then
    raise exception 'a join token is valid for 1 second to 30 days and lets 1 to 1000 machines join, or exactly one if it names a node'
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'the defaults are 15 minutes and one machine';
  end if;
  perform public.loom_check_may_offer(p_may_offer);
  insert into public.loom_join_tokens (digest, node, may_offer, created_by, expires_at, uses_left)
  values (p_digest, p_node, coalesce(p_may_offer, '{}'), p_created_by,
          clock_timestamp() + p_lifetime_ms * interval '1 millisecond', p_uses)
  on conflict (digest) do nothing;
  select * into strict v_token from public.loom_join_tokens where digest = p_digest;
  return public.loom_describe_join_token(v_token);
end $$;

-- Lists the newest join tokens first, at most 1000. loom_prune removes old ones.
create or replace function public.loom_list_join_tokens()
  returns json
  language sql
  stable
  security definer
  set search_path = ''
as $$
  select coalesce(json_agg(public.loom_describe_join_token(token) order by (token).created_at desc, (token).id), '[]')
    from (select token from public.loom_join_tokens as token order by created_at desc, id limit 1000) as newest;
$$;

-- Revokes a join token. Nodes that joined with it stay. Returns null when there is no such token. A repeated call changes
-- nothing.
create or replace function public.loom_revoke_join_token(p_token uuid)
  returns json
  language plpgsql
  security definer
  set search_path = ''
  set lock_timeout = '5s'
as $$
declare
  v_token public.loom_join_tokens;
begin
  update public.loom_join_tokens set revoked_at = coalesce(revoked_at, clock_timestamp())
   where id = p_token
  returning * into v_token;
  return case when v_token.id is not null then public.loom_describe_join_token(v_token) end;
end $$;

-- Gives a machine a node's name and stores the digest of the key that the machine made. The machine joins with
-- a token or, if the hub identifies it by the tailnet, with its id there.
--
-- A repeated call with the same token, digest and node gets the same answer, even if the token is used up or has
-- expired. A name belongs to one machine: a valid key of another machine holds it, and so does a session with a
-- valid lease. A machine that joins again with the same tailnet id replaces its keys.
--
-- The key, the token's use and the event are written in one transaction.
--
-- Interleavings:
-- - Two joins with one token: the token's row is locked first, and the second join finds it used.
-- - Two joins of one name with different tokens: the second waits for the name's lock, and finds the first one's key.
-- - A join and a revoke of its token: the revoke waits, or it comes first and the join sees it.
-- Lock order: token, name, keys, session.
create or replace function public.loom_join_node(
  p_node         text,
  p_digest       text,
  p_created_by   text,
  p_token_digest text default null,
  p_tailnet_id   text default null,
  p_may_offer    text[] default '{}'
)
  returns json
  language plpgsql
  security definer
  set search_path = ''
  set lock_timeout = '5s'
as $$
declare
  v_now   timestamptz := clock_timestamp();
  v_token public.loom_join_tokens;
  v_key   public.loom_node_keys;
begin
  perform public.loom_acting_node(p_node);
  if p_token_digest is null and p_tailnet_id is null then
    raise exception 'a machine joins with a token, or by its id in the tailnet'
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'ask for a join token: Add a machine';
  end if;
  if p_digest is null or p_digest !~ '^[0-9a-f]{64}$' then
    raise exception 'a digest is a SHA-256 in 64 hexadecimal digits'
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'use one version of Loom';
  end if;
  perform public.loom_check_may_offer(p_may_offer);
  if p_token_digest is not null then
    select * into v_token from public.loom_join_tokens where digest = p_token_digest for update;
  end if;
  perform public.loom_lock_name(p_node);

  select * into v_key from public.loom_node_keys where digest = p_digest;
  if v_key.id is not null then
    if v_key.node = p_node and v_key.revoked_at is null
       and (v_key.token_id = v_token.id or (p_token_digest is null and v_key.tailnet_id = p_tailnet_id)) then
      return json_build_object('node', p_node, 'key_id', v_key.id, 'returned', 'existing');
    end if;
    raise exception 'this key was used before'
      using errcode = 'PT409', detail = 'NODE_KEY_USED', hint = 'make a new one';
  end if;

  if p_token_digest is not null then
    if v_token.id is null or v_token.revoked_at is not null or v_token.expires_at <= v_now or v_token.uses_left = 0 then
      raise exception 'this join token is unknown, used, expired or revoked'
        using errcode = 'PT422', detail = 'JOIN_TOKEN_REFUSED', hint = 'ask for a new one: Add a machine';
    end if;
    if v_token.node <> p_node then
      raise exception 'this join token is for another name'
        using errcode = 'PT422', detail = 'JOIN_TOKEN_WRONG_NODE', hint = 'join under that name, or ask for a token for this one';
    end if;
  end if;

  -- Locking them waits for a heartbeat or a revoke under way.
  perform from public.loom_node_keys where node = p_node order by id for update;
  if exists (select from public.loom_node_keys
              where node = p_node and revoked_at is null and coalesce(expires_at > v_now, true)
                and (p_tailnet_id is null or tailnet_id is distinct from p_tailnet_id))
     or exists (select from public.loom_node_sessions as session
                 where node = p_node and not dead and expires_at > v_now
                   and not exists (select from public.loom_node_keys as own
                                    where own.id = session.key_id and own.tailnet_id = p_tailnet_id)) then
    raise exception 'another machine has this node name'
      using errcode = 'PT409', detail = 'NODE_NAME_IN_USE',
            hint = 'remove that node, or stop its agent and revoke its key; or give this machine another name (LOOM_NODE_NAME)';
  end if;
  perform public.loom_end_key(id) from public.loom_node_keys where node = p_node and revoked_at is null;

  update public.loom_join_tokens set uses_left = uses_left - 1 where id = v_token.id;
  insert into public.loom_node_keys (node, digest, may_offer, token_id, tailnet_id, created_by)
  values (p_node, p_digest, coalesce(case when v_token.id is not null then v_token.may_offer else p_may_offer end, '{}'),
          v_token.id, p_tailnet_id, p_created_by)
  returning * into v_key;
  insert into public.loom_event_batches (type, node, detail) values ('node.joined', p_node, left(p_created_by, 300));
  return json_build_object('node', p_node, 'key_id', v_key.id, 'returned', 'created');
end $$;
