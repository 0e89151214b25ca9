-- A delivery as the API shows it.
create or replace function public.loom_describe_delivery(p_delivery public.loom_hook_deliveries)
  returns json
  language sql
  stable
  set search_path = ''
as $$
  select json_build_object(
    'id', p_delivery.id, 'hook', p_delivery.hook, 'rule', p_delivery.rule, 'subject', p_delivery.subject,
    'facts', p_delivery.facts, 'state', p_delivery.state, 'attempts', p_delivery.attempts,
    'next_at', p_delivery.next_at, 'created_at', p_delivery.created_at, 'sent_at', p_delivery.sent_at,
    'status', p_delivery.status, 'took_ms', p_delivery.took_ms, 'answer', p_delivery.answer, 'error', p_delivery.error);
$$;

-- Lists the deliveries of a hook, newest first; null if there is no such hook. p_after is the `next` of an earlier answer.
create or replace function public.loom_list_deliveries(p_hook text, p_after text default null, p_limit integer default 50)
  returns json
  language plpgsql
  stable
  security definer
  set search_path = ''
as $$
declare
  v_at     timestamptz := 'infinity';
  v_id     uuid := 'ffffffff-ffff-ffff-ffff-ffffffffffff';
  v_limit  integer := least(greatest(p_limit, 1), 500);
  v_answer json;
begin
  if p_after !~ '^[0-9]{1,16}\.[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then
    raise exception 'unknown cursor of a list of deliveries'
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'use the next of an earlier answer';
  elsif p_after is not null then
    v_at := timestamptz 'epoch' + split_part(p_after, '.', 1)::bigint * interval '1 microsecond';
    v_id := split_part(p_after, '.', 2)::uuid;
  end if;
  if not exists (select from public.loom_hooks where name = p_hook) then
    return null;
  end if;
  with page as (
    select delivery from public.loom_hook_deliveries as delivery
     where hook = p_hook and (created_at, id) < (v_at, v_id)
     order by created_at desc, id desc limit v_limit
  )
  select json_build_object(
           'deliveries', coalesce(json_agg(public.loom_describe_delivery(delivery)
                                           order by (delivery).created_at desc, (delivery).id desc), '[]'),
           'next', case when count(*) >= v_limit then (
             array_agg(format('%s.%s', (extract(epoch from (delivery).created_at) * 1000000)::bigint, (delivery).id)
                       order by (delivery).created_at, (delivery).id))[1] end)
    into v_answer
    from page;
  return v_answer;
end $$;

-- Adds a test message for a hook, enabled or not. It is sent like any other. Null if there is no such hook.
create or replace function public.loom_test_hook(p_hook text, p_asked_by text)
  returns json
  language plpgsql
  security definer
  set search_path = ''
  set lock_timeout = '5s'
as $$
declare
  v_delivery public.loom_hook_deliveries;
begin
  perform from public.loom_hooks where name = p_hook for key share;
  if not found then
    return null;
  end if;
  if (select count(*) from public.loom_hook_deliveries where hook = p_hook and next_at is not null)
     >= public.loom_limit('hook_backlog') then
    raise exception 'this hook has % messages to send, which is the limit', public.loom_limit('hook_backlog')
      using errcode = 'PT409', detail = 'HOOK_BACKLOG_FULL', hint = 'see its deliveries for why they are not sent; disable it to drop them';
  end if;
  insert into public.loom_hook_deliveries (hook, rule, subject, occurrence, facts)
  values (p_hook, 'test', p_hook, gen_random_uuid()::text, json_build_object('askedBy', left(p_asked_by, 300))::text)
  returning * into v_delivery;
  return public.loom_describe_delivery(v_delivery);
end $$;

-- Sends a delivery again that has ended, under its id. Null if the hook has no such delivery.
create or replace function public.loom_redeliver(p_hook text, p_delivery uuid)
  returns json
  language plpgsql
  security definer
  set search_path = ''
  set lock_timeout = '5s'
as $$
declare
  v_delivery public.loom_hook_deliveries;
begin
  select * into v_delivery from public.loom_hook_deliveries where id = p_delivery and hook = p_hook for no key update;
  if not found then
    return null;
  end if;
  if v_delivery.next_at is not null then
    raise exception 'this delivery is still being tried'
      using errcode = 'PT409', detail = 'DELIVERY_PENDING', hint = 'wait for its next attempt';
  end if;
  update public.loom_hook_deliveries
     set state = 'pending', attempts = 0, next_at = clock_timestamp()
   where id = p_delivery
  returning * into v_delivery;
  return public.loom_describe_delivery(v_delivery);
end $$;

-- Takes the next due delivery of each hook for sending, with its hook's sealed target. p_busy: hooks that the caller
-- still sends for; a hook gets one message at a time, so a slow target delays none of another hook. Only the leading
-- hub may: 'deposed' otherwise.
--
-- A taken delivery is due again after a minute, which is longer than an attempt takes. So one whose hub died is sent
-- again, under the same id: a message arrives at least once. attempts is the fence of loom_record_delivery.
create or replace function public.loom_take_deliveries(p_epoch bigint, p_busy text[] default '{}')
  returns json
  language plpgsql
  security definer
  set search_path = ''
  set lock_timeout = '5s'
as $$
declare
  v_now   timestamptz := clock_timestamp();
  v_taken uuid[];
begin
  if not public.loom_is_leader(p_epoch) then
    return json_build_object('answer', 'deposed', 'deliveries', '[]'::json, 'due_in_ms', null);
  end if;
  v_taken := array(
    select id from public.loom_hook_deliveries
     where id = any (array(
             select next.id
               from public.loom_hooks as hook
              cross join lateral (
                select id from public.loom_hook_deliveries
                 where hook = hook.name and next_at <= v_now order by next_at, id limit 1) as next
              where hook.name <> all (p_busy)))
       and next_at <= v_now
     order by id
       for no key update skip locked);
  update public.loom_hook_deliveries
     set attempts = attempts + 1, next_at = v_now + interval '1 minute', sent_at = v_now
   where id = any (v_taken);
  return json_build_object(
    'answer', 'taken',
    'deliveries', (select coalesce(json_agg(json_build_object(
                            'id', delivery.id, 'hook', hook.name, 'rule', delivery.rule, 'subject', delivery.subject,
                            'facts', delivery.facts, 'attempt', delivery.attempts, 'created_at', delivery.created_at,
                            'sealed', hook.sealed) order by delivery.created_at, delivery.id), '[]')
                     from public.loom_hook_deliveries as delivery
                     join public.loom_hooks as hook on hook.name = delivery.hook
                    where delivery.id = any (v_taken)),
    'due_in_ms', (select ceil(1000 * extract(epoch from min(next.at) - clock_timestamp()))
                    from public.loom_hooks as hook
                   cross join lateral (
                     select min(next_at) as at from public.loom_hook_deliveries
                      where hook = hook.name and next_at is not null) as next
                   where hook.name <> all (p_busy)));
end $$;

-- Records how an attempt ended. Without p_error it arrived. Otherwise the next attempt follows after 10 s, and then after
-- longer and longer; after the eighth, half a day later, the delivery has failed. A target may ask for a later one.
--
-- Nothing is written if another attempt has begun, or the delivery has ended. A repeated call of a failed attempt
-- changes only when the next one follows.
create or replace function public.loom_record_delivery(
  p_delivery       uuid,
  p_attempt        integer,
  p_took_ms        integer,
  p_status         integer default null,
  p_answer         text default null,
  p_error          text default null,
  p_retry_after_ms bigint default null
)
  returns json
  language plpgsql
  security definer
  set search_path = ''
  set lock_timeout = '5s'
as $$
declare
  c_delays_s constant integer[] := array[10, 60, 300, 900, 3600, 10800, 28800];
  v_is_last  boolean := p_attempt > cardinality(c_delays_s);
  v_state    text := case when p_error is null then 'delivered' when v_is_last then 'failed' else 'pending' end;
begin
  update public.loom_hook_deliveries
     set state   = v_state,
         next_at = case when v_state = 'pending' then clock_timestamp() + greatest(
                     c_delays_s[p_attempt] * interval '1 second',
                     case when p_retry_after_ms is not null then least(p_retry_after_ms, 3600000) * interval '1 millisecond' end) end,
         status  = p_status,
         took_ms = p_took_ms,
         answer  = left(p_answer, 200),
         error   = left(p_error, 500)
   where id = p_delivery and attempts = p_attempt and next_at is not null;
  return json_build_object('recorded', found, 'state', v_state);
end $$;
