-- Returns whether an agent's probe measures a capability of this name. Every node may offer measured ones. Its key's
-- may_offer must name the others. This is the only list of measured names.
create or replace function public.loom_is_measured(p_name text)
  returns boolean
  language sql
  immutable
  set search_path = ''
as $$
  select p_name = any (array[
           'os', 'arch', 'cpus', 'memory-gb', 'disk-free-gb', 'node-version', 'distro', 'distro-version',
           'has-gpu', 'docker', 'docker-version', 'tailscale', 'tailscale-tag', 'loom-agent', 'code'])
      or p_name ~ '^(gpu\.|workflow:|code\.module$)';
$$;

-- Splits a node's capabilities into those that its key lets it offer and those that it only asks for. Names are
-- compared without their values, and '*' allows every name. The service role and hubs may offer everything.
create or replace function public.loom_split_offer(
  p_capabilities text[],
  p_key          public.loom_node_keys,
  out offered    text[],
  out asked      text[]
)
  language sql
  stable
  set search_path = ''
as $$
  select coalesce(array_agg(capability order by capability) filter (where allowed), '{}'),
         coalesce(array_agg(capability order by capability) filter (where not allowed), '{}')
    from (select distinct capability,
                 (p_key).id is null or '*' = any ((p_key).may_offer)
                 or split_part(capability, '=', 1) = any ((p_key).may_offer)
                 or public.loom_is_measured(split_part(capability, '=', 1)) as allowed
            from unnest(p_capabilities) as capability) as declared;
$$;

-- Refuses names that no node may offer, and names that no capability can have.
create or replace function public.loom_check_may_offer(p_names text[])
  returns void
  language plpgsql
  immutable
  set search_path = ''
as $$
begin
  if cardinality(p_names) > 100
     or exists (select from unnest(p_names) as name
                 where name is null or length(name) not between 1 and public.loom_limit('capability_length')
                    or name ~ '[=[:cntrl:]]' or name ~* '^(node|loom-hub)$') then
    raise exception 'a node may offer at most 100 names, without values, and neither node nor loom-hub'
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'give the part of a capability before its =, as in has-nas';
  end if;
end $$;

-- Allows or forbids a node to offer names that no probe measures. Changes all its valid keys, and its present offer.
-- Returns null when the node has no valid key: such a node may offer everything, or nothing at all.
--
-- Lock order: keys, session, the node's row. This function corrects a report that comes first. A report that comes
-- second waits for the session's row, and reads the key after that.
create or replace function public.loom_allow_offers(p_node text, p_names text[], p_allow boolean default true)
  returns json
  language plpgsql
  security definer
  set search_path = ''
  set lock_timeout = '5s'
as $$
declare
  v_keys    uuid[];
  v_key     public.loom_node_keys;
  v_session public.loom_node_sessions;
  v_known   public.openclaw_instances;
  v_split   record;
begin
  perform public.loom_check_may_offer(p_names);
  v_keys := array(
    select id from public.loom_node_keys
     where node = p_node and revoked_at is null and coalesce(expires_at > clock_timestamp(), true)
     order by id for update);
  if v_keys = '{}' then
    return null;
  end if;
  update public.loom_node_keys
     set may_offer = array(
           select name from unnest(may_offer || case when p_allow then p_names else '{}' end) as name
            where p_allow or name <> all (p_names)
            group by name order by name)
   where id = any (v_keys);
  select key.* into v_key from public.loom_node_keys as key where key.id = any (v_keys) order by created_at desc, id limit 1;
  insert into public.loom_event_batches (type, node, detail)
  values (case when p_allow then 'node.offers_allowed' else 'node.offers_forbidden' end, p_node,
          left(array_to_string(p_names, ', '), public.loom_limit('note_length')::integer));

  select * into v_session from public.loom_node_sessions where node = p_node for no key update;
  select * into v_known from public.openclaw_instances where name = p_node for no key update;
  v_split := public.loom_split_offer(v_known.capabilities || v_known.asked_capabilities, v_key);
  -- A session without a key may offer everything.
  if v_session.key_id is not null and v_split.offered is distinct from v_known.capabilities then
    update public.openclaw_instances
       set capabilities = v_split.offered, asked_capabilities = v_split.asked,
           capabilities_version = capabilities_version + 1
     where name = p_node;
    perform public.loom_retry_declined(p_node);
    perform public.loom_return_offers(p_node, true, format('what %s offers has changed', p_node));
  end if;
  return json_build_object('may_offer', v_key.may_offer,
    'asked', case when v_session.key_id is not null then v_split.asked else '{}' end);
end $$;

-- Records that a node asks to offer new names, within the limit of events that its key may cause.
create or replace function public.loom_note_asked(p_node text, p_key uuid, p_was text[], p_asked text[])
  returns void
  language plpgsql
  set search_path = ''
as $$
begin
  if not coalesce(p_asked <@ p_was, p_asked = '{}') and public.loom_count_event(p_key) then
    insert into public.loom_event_batches (type, node, detail)
    values ('node.offers_asked', p_node,
            left(array_to_string(p_asked, ', '), public.loom_limit('note_length')::integer));
  end if;
end $$;
