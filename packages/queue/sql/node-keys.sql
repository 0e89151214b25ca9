-- The key of the node that calls; null for a caller that needs none. Every function that an agent
-- calls asks here, directly or through loom_acting_node.
--
-- The caller is the role that PostgREST set for the request, which does not change inside of a
-- security definer function. On a direct connection it is the role that logged in. The service role,
-- roles that inherit it, and the owner of these functions are believed. Every other caller needs the
-- header x-loom-node-key with a key that is neither revoked nor expired, and that is p_node's
-- where p_node is given.
--
-- Invariants. A refusal says the same whatever the reason is, so it tells nobody which nodes exist. It
-- costs one index lookup, locks nothing and writes nothing.
create or replace function public.loom_acting_key(p_node text default null)
  returns public.loom_node_keys
  language plpgsql
  stable
  set search_path = ''
as $$
declare
  v_role text := coalesce(nullif(nullif(current_setting('role', true), ''), 'none'), session_user);
  v_text text;
  v_key  public.loom_node_keys;
begin
  if v_role = current_user or pg_catalog.pg_has_role(v_role, 'service_role', 'usage') then
    return v_key;
  end if;
  -- Empty outside of a request.
  v_text := nullif(current_setting('request.headers', true), '')::json ->> 'x-loom-node-key';
  -- The length first: a header may be long.
  if length(v_text) = 49 and v_text ~ '^loomn_[A-Za-z0-9_-]{43}$' then
    select * into v_key from public.loom_node_keys
     where digest = encode(sha256(convert_to(v_text, 'UTF8')), 'hex')
       and revoked_at is null and coalesce(expires_at > clock_timestamp(), true)
       and (p_node is null or node = p_node);
  end if;
  if v_key.id is null then
    raise exception 'no node key that is valid for this call'
      using errcode = 'PT403', detail = 'NODE_KEY_REFUSED', hint = 'join again';
  end if;
  return v_key;
end $$;

-- The node that a call acts for: p_node, where the caller may act for it (loom_acting_key).
create or replace function public.loom_acting_node(p_node text)
  returns text
  language plpgsql
  stable
  set search_path = ''
as $$
begin
  perform public.loom_acting_key(coalesce(p_node, ''));
  if p_node is null or p_node !~ '^[a-z0-9][a-z0-9._-]{0,62}$' then
    raise exception 'this is not a node name'
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT',
            hint = 'a node name has 1 to 63 of a-z, 0-9, dot, underscore and hyphen, and begins with a letter or digit';
  end if;
  return p_node;
end $$;

-- The caller's key as in loom_acting_key, which stays valid until the end of the transaction: its row
-- is locked, and looked at again then. When it was last used is written once a minute at most.
--
-- Lock order: keys before sessions. A revoke takes the key's row first too. If it comes first, the
-- caller is refused here; if it comes second, it waits, and finds the session that the caller opened.
create or replace function public.loom_hold_key(p_node text)
  returns public.loom_node_keys
  language plpgsql
  set search_path = ''
as $$
declare
  v_key public.loom_node_keys := public.loom_acting_key(p_node);
begin
  if v_key.id is null then
    return v_key;
  end if;
  -- Nobody locks the row for share first and updates it then: two that did would wait for each other.
  update public.loom_node_keys set last_used_at = clock_timestamp()
   where id = v_key.id and revoked_at is null
     and coalesce(last_used_at < clock_timestamp() - interval '1 minute', true);
  if not found then
    perform from public.loom_node_keys where id = v_key.id for share;
  end if;
  return public.loom_acting_key(p_node);
end $$;

-- Counts one more event that a node causes by itself, and tells whether that is still within
-- loom_limit('key_events_per_minute'). The service role has no such limit. It is the node's and not the key's:
-- otherwise a key that changes itself would begin anew each time.
--
-- The row is locked last: who holds it waits for no other lock.
create or replace function public.loom_count_event(p_key uuid)
  returns boolean
  language plpgsql
  set search_path = ''
as $$
begin
  if p_key is null then
    return true;
  end if;
  insert into public.loom_node_events as counted (node, minute, events)
  select node, date_trunc('minute', clock_timestamp()), 1 from public.loom_node_keys where id = p_key
  on conflict (node) do update
     set events = case when counted.minute = excluded.minute then counted.events + 1 else 1 end,
         minute = excluded.minute
   where counted.minute <> excluded.minute or counted.events < public.loom_limit('key_events_per_minute');
  return found;
end $$;

-- The same, and refuses the call when it is too much.
create or replace function public.loom_require_event(p_key uuid)
  returns void
  language plpgsql
  set search_path = ''
as $$
begin
  if not public.loom_count_event(p_key) then
    raise exception 'this node has said too much in this minute'
      using errcode = 'PT429', detail = 'TOO_MANY_EVENTS', hint = 'try again in a minute';
  end if;
end $$;

-- Ends a node's session and gives its jobs and offers back at once; of a session that another key than
-- p_key opened nothing is taken. Where p_key is null, whichever session there is ends.
--
-- The caller has locked the node's keys. Lock order from here on: session, runs by id, jobs by id. A
-- claim that holds the session is waited for, and what it took is given back; one that comes
-- later finds the session dead. So does a report or a heartbeat. The reaper finds nothing left to do, but
-- for jobs beyond the first thousand.
create or replace function public.loom_end_session(p_node text, p_key uuid, p_why text)
  returns integer
  language plpgsql
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
declare
  v_session  public.loom_node_sessions;
  v_requeued integer;
begin
  select * into v_session from public.loom_node_sessions where node = p_node for no key update;
  if not found or (p_key is not null and v_session.key_id is distinct from p_key) then
    return 0;
  end if;
  if not v_session.dead then
    update public.loom_node_sessions set dead = true where node = p_node;
    insert into public.loom_event_batches (type, node, epoch, detail) values ('node.dead', p_node, v_session.epoch, p_why);
  end if;
  -- Runs are locked before jobs, so jobs that run go first.
  v_requeued := public.loom_requeue_jobs(
    array(select id from public.loom_running_jobs(p_node) limit 1000), p_why);
  perform public.loom_return_offers(p_node, false, p_why);
  return v_requeued;
end $$;

-- A key as administrators see it: without its digest.
create or replace function public.loom_describe_key(p_key public.loom_node_keys)
  returns json
  language sql
  stable
  set search_path = ''
as $$
  select json_build_object(
    'id', p_key.id, 'node', p_key.node, 'may_offer', p_key.may_offer, 'tailnet_id', p_key.tailnet_id,
    'created_by', p_key.created_by, 'created_at', p_key.created_at, 'expires_at', p_key.expires_at,
    'last_used_at', p_key.last_used_at, 'revoked_at', p_key.revoked_at,
    'valid', p_key.revoked_at is null and coalesce(p_key.expires_at > clock_timestamp(), true));
$$;

-- The keys of a node, or of all nodes, at most 1000: those that are valid, then the others; newest first. A node that
-- changes its key again and again hides no valid one behind those that were revoked.
create or replace function public.loom_list_keys(p_node text default null)
  returns json
  language sql
  stable
  security definer
  set search_path = ''
as $$
  select coalesce(json_agg(public.loom_describe_key(key) order by is_revoked, (key).created_at desc, (key).id), '[]')
    from (select key, revoked_at is not null as is_revoked from public.loom_node_keys as key
           where p_node is null or node = p_node
           order by is_revoked, created_at desc, id limit 1000) as first;
$$;

-- Revokes one key: nobody can call with it any more, and the session that it opened ends. Its jobs and
-- offers go back at once (loom_end_session). Again, nothing happens.
--
-- The caller has locked the key's row. Interleavings. With a hello: loom_hold_key. With a claim or a settle that has
-- looked at the key before: both look again once they hold their locks, so either they come first, or they are
-- refused.
create or replace function public.loom_end_key(p_key uuid)
  returns integer
  language plpgsql
  set search_path = ''
as $$
declare
  v_key      public.loom_node_keys;
  v_epoch    bigint;
  v_requeued integer;
begin
  update public.loom_node_keys set revoked_at = clock_timestamp()
   where id = p_key and revoked_at is null
  returning * into v_key;
  if not found then
    return 0;
  end if;
  v_requeued := public.loom_end_session(v_key.node, p_key, 'the key of ' || v_key.node || ' was revoked');
  select epoch into v_epoch from public.loom_node_sessions where node = v_key.node and key_id = p_key;
  insert into public.loom_event_batches (type, node, epoch, detail) values ('node.key_revoked', v_key.node, v_epoch, p_key);
  return v_requeued;
end $$;

-- Revokes a key, and all keys that the node made with it, because a thief may have changed a stolen one. Returns null
-- when there is no such key. A repeated call changes nothing.
--
-- Interleavings. With a change of the key: the name's lock. If the change comes first, its key is found here;
-- otherwise it finds the key revoked. Lock order: name, keys by id, session.
create or replace function public.loom_revoke_key(p_key uuid)
  returns json
  language plpgsql
  security definer
  set search_path = ''
  set lock_timeout = '5s'
as $$
declare
  v_key      public.loom_node_keys;
  v_ended    uuid;
  v_requeued integer := 0;
begin
  select * into v_key from public.loom_node_keys where id = p_key;
  if not found then
    return null;
  end if;
  perform public.loom_lock_name(v_key.node);
  perform from public.loom_node_keys where node = v_key.node order by id for update;
  for v_ended in
    with recursive ended as (
      select id from public.loom_node_keys where id = p_key
       union
      select made.id from public.loom_node_keys as made join ended on made.made_with = ended.id
    )
    select id from ended
  loop
    v_requeued := v_requeued + public.loom_end_key(v_ended);
  end loop;
  select * into v_key from public.loom_node_keys where id = p_key;
  return case when v_key.id is not null then
    json_build_object('key', public.loom_describe_key(v_key), 'requeued', v_requeued) end;
end $$;

-- Revokes the key that the call is made with, and no other: a machine leaves, or has changed its key.
create or replace function public.loom_revoke_own_key(p_node text)
  returns json
  language plpgsql
  security definer
  set search_path = ''
  set lock_timeout = '5s'
as $$
declare
  v_key public.loom_node_keys := public.loom_acting_key(coalesce(p_node, ''));
begin
  if v_key.id is null then
    raise exception 'this call was made without a node''s key'
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'revoke keys by their id';
  end if;
  perform from public.loom_node_keys where id = v_key.id for update;
  return json_build_object('requeued', public.loom_end_key(v_key.id));
end $$;

-- Adds a second key of the node that calls, which may offer what the first one may. Both are valid until
-- the first one is revoked by the node itself. A third one, left behind by a change that was not finished, is
-- revoked.
--
-- The same digest again gets the same answer. Two at the same time: the lock of the node's name lets one
-- after the other.
create or replace function public.loom_rotate_key(p_node text, p_digest text)
  returns json
  language plpgsql
  security definer
  set search_path = ''
  set lock_timeout = '5s'
as $$
declare
  v_key public.loom_node_keys := public.loom_acting_key(coalesce(p_node, ''));
  v_new public.loom_node_keys;
begin
  if v_key.id is null then
    raise exception 'a node changes its key with the key that it has'
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'join with a token';
  end if;
  perform public.loom_lock_name(p_node);
  perform from public.loom_node_keys where node = p_node order by id for update;
  v_key := public.loom_acting_key(p_node);
  select * into v_new from public.loom_node_keys where digest = p_digest;
  if not found then
    perform public.loom_end_key(id) from public.loom_node_keys
      where node = p_node and id <> v_key.id and revoked_at is null;
    insert into public.loom_node_keys (node, digest, may_offer, tailnet_id, created_by, expires_at, made_with)
    values (p_node, p_digest, v_key.may_offer, v_key.tailnet_id, 'the node itself', v_key.expires_at, v_key.id)
    returning * into v_new;
    insert into public.loom_event_batches (type, node, detail) values ('node.joined', p_node, v_new.created_by);
    perform public.loom_require_event(v_key.id);
  elsif v_new.node <> p_node or v_new.revoked_at is not null then
    raise exception 'this key was used before'
      using errcode = 'PT409', detail = 'NODE_KEY_USED', hint = 'make a new one';
  end if;
  return json_build_object('node', v_new.node, 'key_id', v_new.id);
end $$;

-- Lets one transaction at a time give a node's name a key, or take the name's keys away.
create or replace function public.loom_lock_name(p_node text)
  returns void
  language sql
  set search_path = ''
as $$
  select pg_advisory_xact_lock(hashtext('loom node'), hashtext(p_node));
$$;

-- Forgets a node: revokes and removes its keys, ends its session, gives its jobs and offers back, and
-- removes its row. Refused while it runs jobs, unless p_force. Null when there is no such node.
--
-- Its session's epoch is kept, because a later node of this name must not repeat one.
--
-- Interleavings. With a claim: the session's row. If the claim comes first, the node is busy; otherwise the
-- claim finds a dead session. With a join or a rotation of the same name: the name's lock.
create or replace function public.loom_remove_node(p_node text, p_force boolean default false)
  returns json
  language plpgsql
  security definer
  set search_path = ''
  set lock_timeout = '5s'
as $$
declare
  v_keys     uuid[];
  v_requeued integer;
begin
  perform public.loom_lock_name(p_node);
  v_keys := array(select id from public.loom_node_keys where node = p_node order by id for update);
  perform from public.loom_node_sessions where node = p_node for no key update;
  if v_keys = '{}' and not exists (select from public.openclaw_instances where name = p_node) then
    return null;
  end if;
  if not coalesce(p_force, false)
     and exists (select from public.loom_node_sessions where node = p_node and not dead and expires_at > clock_timestamp())
     and exists (select from public.loom_running_jobs(p_node)) then
    raise exception 'the node runs jobs'
      using errcode = 'PT409', detail = 'NODE_BUSY', hint = 'drain it and wait, or force it';
  end if;
  v_requeued := coalesce(public.loom_end_session(p_node, null, p_node || ' was removed'), 0);
  update public.loom_node_sessions set key_id = null, machine = null, boot = null, host = null where node = p_node;
  delete from public.loom_node_events where node = p_node;
  delete from public.loom_node_keys where id = any (v_keys);
  delete from public.openclaw_instances where name = p_node;
  insert into public.loom_event_batches (type, node) values ('node.removed', p_node);
  return json_build_object('requeued', v_requeued);
end $$;
