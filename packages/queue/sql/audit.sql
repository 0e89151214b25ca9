-- Forgets some of the keys that are older than a day: more than a request adds, so the table stays as small as a day's
-- requests. The settings make it find them by an index, however many there are.
create or replace function public.loom_forget_requests()
  returns void
  language plpgsql
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
  set plan_cache_mode = force_generic_plan
as $$
begin
  delete from public.loom_request_keys
   where ctid = any(array(select ctid from public.loom_request_keys
                           where created_at < now() - interval '1 day'
                           order by created_at limit 20
                             for update skip locked));
end $$;

-- Calls one of the other functions for a request to the API, and writes an audit record
-- in the same transaction: who asked, from where, and the answer. A call that fails, or
-- that finds nothing (an answer of null), writes no record.
--
-- p_request has who, from, action, subject and id. If the request has an idempotency
--   key, it also has key and fingerprint. A second request with the same key gets the
--   first one's answer. With another fingerprint it is a different request, and is
--   refused. Of two requests at the same time, the primary key makes the second wait,
--   and it then finds the first's answer. Keys are kept for a day, and removed a few at
--   a time.
--
-- p_request may list items of the answer (from 0; an answer that is not a list is item
--   0) that must already exist under their own key. If the call would create one of
--   them, the whole call is refused. A caller that must not create an item (for example
--   at a limit) can so still find one whose answer was lost, without a separate query
--   that the first request could race with.
create or replace function public.loom_with_audit(p_function text, p_args json, p_request json)
  returns json
  language plpgsql
  security definer
  set search_path = ''
as $$
declare
  v_who       text := left(p_request ->> 'who', 300);
  v_action    text := left(p_request ->> 'action', 100);
  v_key       text := p_request ->> 'key';
  v_statement text;
  v_kept      public.loom_request_keys;
  v_answer    json;
begin
  if v_who is null or v_action is null or (v_key is null) <> (p_request ->> 'fingerprint' is null) then
    raise exception 'a request needs who and action, and a fingerprint if it has a key'
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'see sql/audit.sql';
  end if;

  -- Only functions that the service role may call directly can be called through this
  -- one.
  select format('select public.%I(%s) from json_to_record($1) as given(%s)', proname,
                string_agg(format('%1$I => given.%1$I', argument), ', '),
                string_agg(format('%I %s', argument, format_type(type, null)), ', '))
    into v_statement
    from pg_catalog.pg_proc
   cross join unnest(proargnames, proargtypes::oid[]) as signature(argument, type)
   where pronamespace = 'public'::regnamespace and proname = p_function
     and proname ^@ 'loom_' and proname <> 'loom_with_audit'
     and has_function_privilege('service_role', oid, 'execute')
     and argument in (select json_object_keys(p_args))
   group by oid, proname
  having count(*) = (select count(*) from json_object_keys(p_args));
  if v_statement is null then
    raise exception 'no function with this name takes these arguments'
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'use one version of Loom';
  end if;

  if v_key is not null then
    perform public.loom_forget_requests();
    insert into public.loom_request_keys (who, action, key, fingerprint)
    values (v_who, v_action, v_key, p_request ->> 'fingerprint')
    on conflict do nothing;
    if not found then
      select * into strict v_kept from public.loom_request_keys
       where who = v_who and action = v_action and key = v_key;
      if v_kept.fingerprint <> p_request ->> 'fingerprint' then
        raise exception 'the idempotency key was used for another request'
          using errcode = 'PT422', detail = 'IDEMPOTENCY_KEY_REUSED', hint = 'use a new key for a new request';
      end if;
      return json_build_object('answer', v_kept.answer::json, 'replayed', true);
    end if;
  end if;

  execute v_statement into v_answer using p_args;

  if p_request -> 'existing' is not null and exists (
       select from json_array_elements(case json_typeof(v_answer) when 'array' then v_answer else json_build_array(v_answer) end)
              with ordinality as item(made, ord)
        where made ->> 'returned' = 'created'
          and ord - 1 in (select json_array_elements_text(p_request -> 'existing')::bigint)) then
    raise exception 'no item with this key exists yet'
      using errcode = 'PT422', detail = 'NOT_EXISTING', hint = 'allow the request to create it';
  end if;
  if v_answer is null then
    delete from public.loom_request_keys where who = v_who and action = v_action and key = v_key;
  else
    update public.loom_request_keys set answer = v_answer
     where who = v_who and action = v_action and key = v_key;
    insert into public.loom_event_batches (type, detail)
    values ('request.done', json_build_object(
      'who', v_who, 'from', left(p_request ->> 'from', 100), 'action', v_action,
      'subject', left(p_request ->> 'subject', 500), 'id', left(p_request ->> 'id', 300),
      'answer', left(v_answer::text, 500)));
  end if;
  return json_build_object('answer', v_answer, 'replayed', false);
end $$;

-- Lists what people and programs requested, newest first; see loom_with_audit. p_after
-- is the `next` of an earlier answer.
create or replace function public.loom_list_requests(p_after text default null, p_limit integer default 50)
  returns json
  language plpgsql
  stable
  security definer
  set search_path = ''
as $$
declare
  v_xid    xid8 := '9223372036854775807';
  v_id     bigint := 0;
  v_answer json;
begin
  if p_after !~ '^[0-9]{1,18}\.[0-9]{1,18}$' then
    raise exception 'unknown cursor of a list of requests'
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'use the next of an earlier answer';
  elsif p_after is not null then
    v_xid := split_part(p_after, '.', 1)::xid8;
    v_id := split_part(p_after, '.', 2)::bigint;
  end if;
  with page as (
    select xid, id, at, detail from public.loom_event_batches
     where type = 'request.done' and (xid, id) < (v_xid, v_id)
     order by xid desc, id desc
     limit least(greatest(p_limit, 1), 500)
  )
  select json_build_object(
           'requests', coalesce(json_agg(json_build_object('at', at, 'detail', detail) order by xid desc, id desc), '[]'),
           'next', case when count(*) >= least(greatest(p_limit, 1), 500)
                        then (array_agg(format('%s.%s', xid, id) order by xid, id))[1] end)
    into v_answer
    from page;
  return v_answer;
end $$;
