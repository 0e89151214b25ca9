-- Does what somebody asked the API for: calls one of the other functions, and writes
-- down in the same transaction who asked, from where, and what it came to. What fails
-- leaves nothing, and what is not there (an answer of null) is no deed to write down.
--
-- p_request has who, from, action, subject and id and, where the request came with a
-- key, key and fingerprint. A second request of the same key is answered as the first
-- one was; with another fingerprint it is another request, and refused. Of two at the
-- same time the primary key makes the second wait, and then find the first's answer.
-- Keys are kept for a day, and removed a few at a time.
--
-- p_request may name items of the answer (from 0; an answer that is no list is item 0) that
-- have to be there already, by their own key: one that the call would make is refused, and
-- with it the whole call. So whoever has a reason against something new need not know
-- whether it is: an answer that was lost is found, and the question costs no time in which
-- the first request could slip in.
create or replace function public.loom_act(p_function text, p_args json, p_request json)
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
    raise exception 'a request says who, and which action; a fingerprint comes with a key'
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'see sql/act.sql';
  end if;

  -- What the service role may call by itself, it may call through this, and nothing else.
  select format('select public.%I(%s) from json_to_record($1) as given(%s)', proname,
                string_agg(format('%1$I => given.%1$I', argument), ', '),
                string_agg(format('%I %s', argument, format_type(type, null)), ', '))
    into v_statement
    from pg_catalog.pg_proc
   cross join unnest(proargnames, proargtypes::oid[]) as signature(argument, type)
   where pronamespace = 'public'::regnamespace and proname = p_function
     and proname ^@ 'loom_' and proname <> 'loom_act'
     and has_function_privilege('service_role', oid, 'execute')
     and argument in (select json_object_keys(p_args))
   group by oid, proname
  having count(*) = (select count(*) from json_object_keys(p_args));
  if v_statement is null then
    raise exception 'no function % takes these arguments', left(p_function, 100)
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'use one version of Loom';
  end if;

  if v_key is not null then
    delete from public.loom_request_keys as old
     using (select who, action, key from public.loom_request_keys
             where created_at < clock_timestamp() - interval '1 day'
             order by created_at limit 20
               for update skip locked) as aged
     where (old.who, old.action, old.key) = (aged.who, aged.action, aged.key);
    insert into public.loom_request_keys (who, action, key, fingerprint)
    values (v_who, v_action, v_key, p_request ->> 'fingerprint')
    on conflict do nothing;
    if not found then
      select * into strict v_kept from public.loom_request_keys
       where who = v_who and action = v_action and key = v_key;
      if v_kept.fingerprint <> p_request ->> 'fingerprint' then
        raise exception 'the key % was used for another request', left(v_key, 100)
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
    raise exception 'what has to be there already is not'
      using errcode = 'PT422', detail = 'NOT_EXISTING', hint = 'allow that it is made';
  end if;
  if v_answer is null then
    delete from public.loom_request_keys where who = v_who and action = v_action and key = v_key;
  else
    update public.loom_request_keys set answer = v_answer
     where who = v_who and action = v_action and key = v_key;
    insert into public.loom_events (type, detail)
    values ('request.done', json_build_object(
      'who', v_who, 'from', left(p_request ->> 'from', 100), 'action', v_action,
      'subject', left(p_request ->> 'subject', 500), 'id', left(p_request ->> 'id', 300),
      'answer', left(v_answer::text, 500)));
  end if;
  return json_build_object('answer', v_answer, 'replayed', false);
end $$;

revoke all on function public.loom_act from public, anon, authenticated, service_role;
grant execute on function public.loom_act to service_role;
