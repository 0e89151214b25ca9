-- Steps that map over a list: a job for each item. Such a step is `mapping` from the end of its needs until all its items
-- have ended. Its items are jobs of the same run, which no step sees (item_of). loom_maps counts them.
--
-- Everything here is done under the lock of the run, and nothing else writes loom_maps. So a step ends once, in the
-- transaction that ends the last of its items, or that cancels it while it has none that has not ended.
--
-- Interleavings:
-- - Two hubs make items of one step: the second waits for the run's lock, and goes on behind the items of the first.
-- - A hub is killed while it makes items: its transaction is gone, and the next call makes the same ones.
-- - Making items against a cancel: if the cancel comes first, it finds the items that are there, and no more are made.
--   If it comes second, it waits for the run's lock, and reads the items after that.
-- - The last item ends while the step is cancelled: whoever has the run's lock second finds the step ended.

-- Makes items of the steps that need some, at most p_limit in one call, and ends steps whose list is empty or cannot be
-- used. The answer's 'more' says that there is more to make at once. A step for which this fails is named in 'failed',
-- and the others follow.
create or replace function public.loom_expand_maps(p_limit integer default 500)
  returns json
  language plpgsql
  security definer
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
  set lock_timeout = '5s'
as $$
declare
  v_maps   bigint[];
  v_map    bigint;
  v_made   integer := 0;
  v_done   integer := 0;
  v_failed json[] := '{}';
begin
  if p_limit is null or p_limit not between 1 and 1000 then
    raise exception 'make 1 to 1000 items at once'
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'the default is 500';
  end if;
  v_maps := array(select job_id from public.loom_maps where is_due order by job_id limit 50);
  perform public.loom_lock_jobs(v_maps);
  foreach v_map in array v_maps loop
    exit when v_made >= p_limit;
    begin
      v_made := v_made + public.loom_make_items(v_map, p_limit - v_made);
      v_done := v_done + 1;
    exception
      when lock_not_available or deadlock_detected then raise;
      when others then
        v_failed := v_failed || json_build_object('job', v_map, 'problem', sqlerrm);
    end;
  end loop;
  return json_build_object('made', v_made, 'failed', to_json(v_failed),
                           'more', v_done > 0 and exists (select from public.loom_maps where is_due));
end $$;

-- Makes the next items of a step, and returns how many. With the first of them, the list is checked as a whole
-- (loom_list_problem). The caller holds the locks of the run and of the step's job.
--
-- If the step repeats one of another run, the items that succeeded there are taken over, and the others have the
-- checkpoints that they had there. Items beyond the step's limit
-- are `blocked` until others have ended (loom_follow_map).
create or replace function public.loom_make_items(p_map bigint, p_limit integer)
  returns integer
  language plpgsql
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
declare
  v_now     timestamptz := clock_timestamp();
  v_map     public.loom_maps;
  v_job     public.loom_jobs;
  v_spec    public.loom_job_specs;
  v_list    json;
  v_problem json;
  v_item    integer;
  v_room    integer;
  v_ready   bigint[];
  v_made    integer;
begin
  select * into v_map from public.loom_maps where job_id = p_map for no key update;
  select * into v_job from public.loom_jobs where id = p_map;
  if not v_map.is_due or v_job.state <> 'mapping' then
    return 0;
  end if;
  select * into v_spec from public.loom_job_specs where id = v_job.spec;

  begin
    v_list := (select result::json from public.loom_jobs
                where run_id = v_job.run_id and step_id = v_spec.map ->> 'step' and item_of is null);
    if v_spec.map ->> 'path' is not null then
      v_list := v_list -> (v_spec.map ->> 'path');
    end if;
    v_problem := case when v_map.total is null then public.loom_list_problem(v_list, v_spec.map) end;
  exception when data_exception then
    -- A text in it has a character that Postgres cannot hold.
    v_problem := json_build_object('name', 'MapError', 'code', 'MAP_LIST_UNREADABLE', 'message', format(
      '%s cannot be read: a text in it has the character U+0000 or half of a pair', concat_ws('.', v_spec.map ->> 'step', v_spec.map ->> 'path')));
  end;
  if v_problem is not null then
    perform public.loom_end_map(p_map, v_problem);
    perform public.loom_advance_runs(array[p_map]);
    return 0;
  end if;
  if v_map.total is null then
    update public.loom_maps
       set total = json_array_length(v_list),
           tolerated = case when v_spec.map ->> 'tolerate' like '%\%'
                            then floor(json_array_length(v_list) * rtrim(v_spec.map ->> 'tolerate', '%')::numeric / 100)
                            else coalesce((v_spec.map ->> 'tolerate')::integer, 0) end
     where job_id = p_map
    returning * into v_map;
    update public.loom_jobs set claimed_at = v_now where id = p_map;
  end if;

  v_item := (public.loom_intern_specs(json_build_array(json_build_object(
    'workflow', v_spec.workflow_id, 'step', v_spec.step_id, 'after', array_remove(v_spec.after, v_spec.map ->> 'step'),
    'requires', v_spec.requires, 'prefers', v_spec.prefers, 'priority', v_spec.priority,
    'start_within_ms', v_spec.start_within_ms, 'timeout_ms', v_spec.timeout_ms, 'max_attempts', v_spec.max_attempts,
    'max_crash_restarts', v_spec.max_crash_restarts, 'backoff_kind', v_spec.backoff_kind, 'backoff_ms', v_spec.backoff_ms,
    'backoff_max_ms', v_spec.backoff_max_ms))))[1];
  v_room := case when v_map.released < v_map.made then 0
                 else coalesce((v_spec.map ->> 'concurrency')::integer - v_map.active, v_map.total) end;

  with item as materialized (
    select nextval('public.loom_jobs_id_seq') as id, place::integer - 1 as index, value::text as payload
      from json_array_elements(v_list) with ordinality as t(value, place)
     where place > v_map.made and place <= v_map.made + p_limit
  ),
  known as materialized (
    select item.*, old.state is not null as is_old, old.result, old.ran_on, old.claimed_at, old.finished_at,
           count(*) filter (where old.state is null) over (order by item.index) > v_room as is_blocked
      from item
      left join lateral (
        select state, result, ran_on, claimed_at, finished_at from public.loom_jobs
         where item_of = v_map.items_of and item_index = item.index and state = 'succeeded' offset 0) as old on true
  ),
  created as (
    insert into public.loom_jobs (
      id, run_id, item_of, item_index, workflow_id, step_id, spec, payload, waits_for, host_pinned, target_host, priority,
      run_at, start_by, traceparent, state, ran_on, result, claimed_at, finished_at)
    overriding system value
    select id, v_job.run_id, p_map, index, v_job.workflow_id, v_job.step_id, v_item,
           case when octet_length(payload) <= 256 then payload end, case when is_blocked and not is_old then 1 end,
           v_job.host_pinned, case when is_old then ran_on when v_job.host_pinned then v_job.target_host end, v_job.priority, v_now,
           case when not is_old and not is_blocked then v_now + v_spec.start_within_ms * interval '1 millisecond' end,
           v_job.traceparent,
           case when is_old then 'succeeded' when is_blocked then 'blocked' when v_job.host_pinned then 'pending'
                else 'waiting' end::public.loom_job_state,
           ran_on, result, claimed_at, finished_at
      from known order by index
    returning id, item_index, state, target_host, result, ran_on
  ),
  detail as (
    insert into public.loom_job_details (job_id, payload) select id, payload from item where octet_length(payload) > 256
  ),
  event as (
    insert into public.loom_event_batches (type, run_id, state, node, detail, jobs)
    select 'job.created', v_job.run_id, state, target_host, format('item of %s', p_map), array_agg(id order by id)
      from created group by state, target_host
  ),
  counted as (
    select count(*)::integer as made, count(*) filter (where state in ('waiting', 'pending'))::integer as active,
           count(*) filter (where state = 'succeeded')::integer as succeeded, sum(octet_length(result)) as bytes,
           min(item_index) filter (where state = 'blocked') as blocked,
           array_agg(distinct ran_on) filter (where ran_on is not null) as nodes,
           array_agg(id) filter (where state in ('waiting', 'pending')) as ready
      from created
  ),
  written as (
    update public.loom_maps as map
       set made = map.made + counted.made,
           released = case when map.released < map.made then map.released else coalesce(counted.blocked, map.made + counted.made) end,
           active = map.active + counted.active, succeeded = map.succeeded + counted.succeeded,
           result_bytes = map.result_bytes + coalesce(counted.bytes, 0),
           nodes = public.loom_add_nodes(map.nodes, counted.nodes),
           is_due = map.made + counted.made < map.total
      from counted
     where map.job_id = p_map
  )
  select made, ready into v_made, v_ready from counted;
  if v_map.items_of is not null then
    perform public.loom_copy_checkpoints(array_agg(item.id), array_agg(old.id))
       from public.loom_jobs as item
      cross join lateral (
        select id from public.loom_jobs where item_of = v_map.items_of and item_index = item.item_index offset 0) as old
      where item.item_of = p_map and item.item_index >= v_map.made and item.state <> 'succeeded';
  end if;
  perform public.loom_make_ready(v_ready, v_map.items_of is not null);
  -- An empty list, or one whose items have all been taken over.
  perform public.loom_advance_runs(array[p_map]);
  return v_made;
end $$;

-- Says what is wrong with a list that a step maps over, as the error of that step; null if nothing is.
create or replace function public.loom_list_problem(p_list json, p_map jsonb)
  returns json
  language plpgsql
  stable
  set search_path = ''
as $$
declare
  v_name  text := concat_ws('.', p_map ->> 'step', p_map ->> 'path');
  v_key   text := p_map ->> 'key';
  v_place bigint;
  v_bytes bigint;
begin
  if json_typeof(p_list) is distinct from 'array' then
    return json_build_object('name', 'MapError', 'code', 'MAP_NOT_A_LIST', 'message', format(
      '%s is not a list: it is %s', v_name, case coalesce(json_typeof(p_list), 'missing')
        when 'missing' then 'missing' when 'null' then 'null' when 'object' then 'an object' else 'a ' || json_typeof(p_list) end));
  end if;
  if json_array_length(p_list) > public.loom_limit('map_items') then
    return json_build_object('name', 'MapError', 'code', 'MAP_TOO_LONG', 'message', format(
      '%s has %s items, of at most %s: map over batches of them', v_name, json_array_length(p_list), public.loom_limit('map_items')));
  end if;
  select place - 1, octet_length(item::text) into v_place, v_bytes
    from json_array_elements(p_list) with ordinality as t(item, place)
   where octet_length(item::text) > public.loom_limit('input_bytes') order by place limit 1;
  if found then
    return json_build_object('name', 'MapError', 'code', 'MAP_ITEM_TOO_LARGE', 'message', format(
      'item %s of %s holds %s bytes as JSON, of at most %s: store it elsewhere and list a reference',
      v_place, v_name, v_bytes, public.loom_limit('input_bytes')));
  end if;
  if v_key is not null then
    select place - 1 into v_place
      from json_array_elements(p_list) with ordinality as t(item, place)
     where coalesce(json_typeof(item) <> 'object' or json_typeof(item -> v_key) not in ('string', 'number')
                    or length(item ->> v_key) not between 1 and public.loom_limit('key_length'), true)
     order by place limit 1;
    if found then
      return json_build_object('name', 'MapError', 'code', 'MAP_KEY_INVALID', 'message', format(
        'item %s of %s has no %s that is a number or a text of 1 to %s characters, which is the key of its items',
        v_place, v_name, v_key, public.loom_limit('key_length')));
    end if;
    select min(place) - 1 into v_place
      from (select place, row_number() over (partition by item ->> v_key order by place) as number
              from json_array_elements(p_list) with ordinality as t(item, place)) as numbered
     where number > 1;
    if v_place is not null then
      return json_build_object('name', 'MapError', 'code', 'MAP_KEY_INVALID', 'message', format(
        'item %s of %s has the same %s as an earlier one, and it is the key of its items', v_place, v_name, v_key));
    end if;
  end if;
  return null;
end $$;
