-- A hook as the API shows it: without what is sealed. pending counts the deliveries that are
-- still to be sent.
create or replace function public.loom_describe_hook(p_hook public.loom_hooks)
  returns json
  language sql
  stable
  set search_path = ''
as $$
  select json_build_object(
    'name', p_hook.name, 'rules', p_hook.rules, 'workflows', p_hook.workflows, 'waiting_ms', p_hook.waiting_ms,
    'target', p_hook.target, 'enabled', p_hook.enabled_at is not null, 'dropped', p_hook.dropped,
    'created_by', p_hook.created_by, 'created_at', p_hook.created_at,
    'pending', (select count(*) from public.loom_hook_deliveries where hook = p_hook.name and next_at is not null),
    'last_delivery', (select public.loom_describe_delivery(delivery)
                        from public.loom_hook_deliveries as delivery
                       where hook = p_hook.name order by created_at desc, id desc limit 1));
$$;

-- Lists hooks by name.
create or replace function public.loom_list_hooks()
  returns json
  language sql
  stable
  security definer
  set search_path = ''
as $$
  select coalesce(json_agg(public.loom_describe_hook(hook) order by hook.name), '[]') from public.loom_hooks as hook;
$$;

-- Refuses rules that no hook can have. A null is refused by the table. Without rules, a hook sends only for the workflows
-- that name it.
create or replace function public.loom_check_rules(p_rules text[])
  returns void
  language plpgsql
  set search_path = ''
as $$
begin
  if cardinality(p_rules) > cardinality(public.loom_hook_rules()) or not p_rules <@ public.loom_hook_rules() then
    raise exception 'a hook has each rule once, and only rules that exist'
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'use one version of Loom';
  end if;
end $$;

-- Adds a hook. p_sealed has the target's address and secrets, which only hubs can read; p_target what may be shown.
create or replace function public.loom_create_hook(
  p_name       text,
  p_rules      text[],
  p_target     jsonb,
  p_sealed     text,
  p_created_by text,
  p_workflows  text[] default '{}',
  p_waiting_ms bigint default null,
  p_enabled    boolean default true
)
  returns json
  language plpgsql
  security definer
  set search_path = ''
  set lock_timeout = '5s'
as $$
declare
  v_hook public.loom_hooks;
begin
  perform public.loom_check_rules(p_rules);
  perform public.loom_begin_hooks();
  if (select count(*) from public.loom_hooks) >= public.loom_limit('hooks') then
    raise exception 'there are % hooks, which is the limit', public.loom_limit('hooks')
      using errcode = 'PT409', detail = 'TOO_MANY_HOOKS', hint = 'remove a hook, or let one send for several rules';
  end if;
  insert into public.loom_hooks (name, rules, target, sealed, created_by, workflows, waiting_ms, enabled_at)
  values (p_name, p_rules, p_target, p_sealed, p_created_by, coalesce(p_workflows, '{}'), p_waiting_ms,
          case when p_enabled then clock_timestamp() end)
  on conflict (name) do nothing
  returning * into v_hook;
  if v_hook.name is null then
    raise exception 'a hook with this name already exists'
      using errcode = 'PT409', detail = 'HOOK_NAME_TAKEN', hint = 'choose another name, or change that hook';
  end if;
  return public.loom_describe_hook(v_hook);
end $$;

-- Changes a hook: everything but its name. Without p_sealed the target stays. Null if there is no such hook.
--
-- A hook that is enabled again learns only of what happens from then on. The pending deliveries of a hook that is
-- disabled end as failed: sent later, they would be news of long ago.
create or replace function public.loom_change_hook(
  p_name       text,
  p_rules      text[],
  p_workflows  text[],
  p_waiting_ms bigint,
  p_enabled    boolean,
  p_target     jsonb default null,
  p_sealed     text default null
)
  returns json
  language plpgsql
  security definer
  set search_path = ''
  set lock_timeout = '5s'
as $$
declare
  v_hook public.loom_hooks;
begin
  if p_enabled is null or (p_target is null) <> (p_sealed is null) then
    raise exception 'a hook is enabled or not, and a target is given whole'
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'use one version of Loom';
  end if;
  perform public.loom_check_rules(p_rules);
  perform public.loom_begin_hooks();
  update public.loom_hooks
     set rules      = p_rules,
         workflows  = p_workflows,
         waiting_ms = p_waiting_ms,
         enabled_at = case when p_enabled then coalesce(enabled_at, clock_timestamp()) end,
         target     = coalesce(p_target, target),
         sealed     = coalesce(p_sealed, sealed),
         waits_checked_at = null
   where name = p_name
  returning * into v_hook;
  if not found then
    return null;
  end if;
  if v_hook.enabled_at is null then
    update public.loom_hook_deliveries
       set state = 'failed', next_at = null, error = 'the hook was disabled before this was sent'
     where hook = p_name and next_at is not null;
  end if;
  return public.loom_describe_hook(v_hook);
end $$;

-- Removes a hook with its deliveries. Null if there is no such hook.
create or replace function public.loom_remove_hook(p_name text)
  returns json
  language plpgsql
  security definer
  set search_path = ''
  set lock_timeout = '5s'
as $$
declare
  v_hook   public.loom_hooks;
  v_answer json;
begin
  select * into v_hook from public.loom_hooks where name = p_name for update;
  if not found then
    return null;
  end if;
  v_answer := public.loom_describe_hook(v_hook);
  delete from public.loom_hooks where name = p_name;
  return v_answer;
end $$;

-- Locks the cursor of events, so that nothing is decided meanwhile. While no hook is enabled, nobody moves the cursor, so
-- the first one begins at the present events.
--
-- Lock order: lead, cursor, hooks by name, deliveries.
create or replace function public.loom_begin_hooks()
  returns void
  language plpgsql
  set search_path = ''
as $$
begin
  perform from public.loom_hook_cursor for no key update;
  if not exists (select from public.loom_hooks where enabled_at is not null) then
    update public.loom_hook_cursor set xid = pg_snapshot_xmin(pg_current_snapshot()), id = 0 where is_one;
  end if;
end $$;

-- Stores whom workflows notify: p_notify is [{"workflow", "rules": {rule: [hook, …]}}, …], with null where a workflow
-- says nothing. A workflow that is not named keeps what it said: its file may be broken at the moment. Only the leading hub
-- may: 'deposed' otherwise. Returns the hooks that do not exist, each with the workflows that name it.
--
-- Two calls with different lists could deadlock in any order of rows, so the table's lock orders them.
create or replace function public.loom_sync_notify(p_notify json, p_epoch bigint)
  returns json
  language plpgsql
  security definer
  set search_path = ''
  set lock_timeout = '5s'
as $$
begin
  if json_typeof(p_notify) is distinct from 'array' or json_array_length(p_notify) > 10000 or exists (
       select from json_array_elements(p_notify) as item
        where json_typeof(item) <> 'object' or item ->> 'workflow' is null
           or json_typeof(item -> 'rules') not in ('object', 'null')) then
    raise exception 'the notifications of workflows are a list of at most 10000, each with a workflow and rules'
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'use one version of Loom';
  end if;
  if not public.loom_is_leader(p_epoch) then
    return json_build_object('answer', 'deposed', 'missing', '[]'::json);
  end if;
  lock table public.loom_notify in share row exclusive mode;
  delete from public.loom_notify
   where workflow_id in (select item ->> 'workflow' from json_array_elements(p_notify) as item);
  insert into public.loom_notify (workflow_id, rule, hook)
  select distinct item ->> 'workflow', said.rule, named.hook
    from json_array_elements(p_notify) as item
   cross join json_each(case when json_typeof(item -> 'rules') = 'object' then item -> 'rules' else '{}' end) as said(rule, hooks)
   cross join json_array_elements_text(said.hooks) as named(hook);
  return json_build_object(
    'answer', 'written',
    'missing', (select coalesce(json_agg(json_build_object('hook', hook, 'workflows', workflows) order by hook), '[]')
                  from (select hook, array_agg(distinct workflow_id order by workflow_id) as workflows
                          from public.loom_notify as said
                         where not exists (select from public.loom_hooks where name = said.hook)
                         group by hook) as missing));
end $$;
