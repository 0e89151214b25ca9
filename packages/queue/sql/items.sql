-- How the items of steps that map over lists end, and how they are listed. maps.sql has the rules.

-- Of jobs that have just ended, counts the items, and returns the steps: those of them, and the steps that end with
-- their items. A step that is `mapping` is looked at too: it has just been cancelled, or has no item that has not ended.
-- The caller holds the locks of the runs.
create or replace function public.loom_count_items(p_ended bigint[])
  returns bigint[]
  language plpgsql
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
declare
  v_steps bigint[];
  v_maps  bigint[];
  v_map   bigint;
begin
  select coalesce(array_agg(id) filter (where item_of is null and state <> 'mapping'), '{}'),
         array_agg(distinct coalesce(item_of, id)) filter (where item_of is not null or state = 'mapping')
    into v_steps, v_maps
    from public.loom_jobs where id = any(p_ended) and run_id is not null;
  if v_maps is null then
    return v_steps;
  end if;
  update public.loom_maps as map
     set succeeded = map.succeeded + ended.succeeded, failed = map.failed + ended.failed, cancelled = map.cancelled + ended.cancelled,
         active = map.active - ended.active, result_bytes = map.result_bytes + ended.bytes,
         nodes = public.loom_add_nodes(map.nodes, ended.nodes)
    from (select job.item_of, count(*) filter (where job.state = 'succeeded')::integer as succeeded,
                 count(*) filter (where job.state = 'failed')::integer as failed,
                 count(*) filter (where job.state = 'cancelled')::integer as cancelled,
                 count(*) filter (where job.item_index < place.released)::integer as active,
                 coalesce(sum(octet_length(job.result)), 0) as bytes,
                 array_agg(distinct job.ran_on) filter (where job.ran_on is not null) as nodes
            from public.loom_jobs as job
           cross join lateral (select released from public.loom_maps where job_id = job.item_of offset 0) as place
           where job.id = any(p_ended) and job.item_of is not null
           group by job.item_of) as ended
   where map.job_id = any(array[ended.item_of]);
  foreach v_map in array v_maps loop
    v_steps := v_steps || public.loom_follow_map(v_map);
  end loop;
  return v_steps;
end $$;

-- Ends a step whose items have all ended, and returns it. Otherwise lets as many blocked items become ready as the
-- step's limit has room for.
create or replace function public.loom_follow_map(p_map bigint)
  returns bigint[]
  language plpgsql
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
declare
  v_now  timestamptz := clock_timestamp();
  v_map  public.loom_maps;
  v_job  public.loom_jobs;
  v_spec public.loom_job_specs;
  v_done integer;
  v_next bigint[];
  v_last integer;
begin
  select * into v_map from public.loom_maps where job_id = p_map;
  select * into v_job from public.loom_jobs where id = p_map;
  if v_job.state <> 'mapping' then
    return '{}';
  end if;
  v_done := v_map.succeeded + v_map.failed + v_map.cancelled;
  if v_done = v_map.total or v_job.cancel_requested_at is not null and v_done = v_map.made then
    perform public.loom_end_map(p_map);
    return array[p_map];
  end if;
  if v_map.released = v_map.made or v_job.cancel_requested_at is not null then
    return '{}';
  end if;
  select * into v_spec from public.loom_job_specs where id = v_job.spec;
  select array_agg(id), max(item_index) into v_next, v_last
    from (select id, item_index from public.loom_jobs
           where item_of = p_map and item_index >= v_map.released and state = 'blocked'
           order by item_index
           limit greatest((v_spec.map ->> 'concurrency')::integer - v_map.active, 0)) as next;
  if v_next is null then
    return '{}';
  end if;
  update public.loom_jobs
     set state = case when host_pinned then 'pending' else 'waiting' end::public.loom_job_state, waits_for = null,
         run_at = v_now, start_by = v_now + v_spec.start_within_ms * interval '1 millisecond'
   where id = any(v_next);
  update public.loom_maps set released = v_last + 1, active = active + cardinality(v_next) where job_id = p_map;
  perform public.loom_note_jobs('job.ready', case when v_job.host_pinned then 'pending' else 'waiting' end, v_next,
                                array_fill(v_job.run_id, array[cardinality(v_next)]));
  perform public.loom_make_ready(v_next, v_map.items_of is not null);
  return '{}';
end $$;

-- Ends a step that maps over a list: failed with p_problem, or if more of its items failed than may; else cancelled if
-- one was cancelled or never made; else succeeded.
--
-- Its result is the list of its items' results in their order. Where some may fail, each entry says whether it did
-- ({"ok", "value"} or {"ok", "error"}). The list is kept if a step could read it (results_bytes). Otherwise the steps
-- that would read it fail (loom_refuse_results), and the results are to be had item by item.
create or replace function public.loom_end_map(p_map bigint, p_problem json default null)
  returns void
  language plpgsql
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
declare
  v_map     public.loom_maps;
  v_job     public.loom_jobs;
  v_has_outcomes boolean;
  v_state   text;
  v_result  text;
  v_error   json := p_problem;
  v_first   record;
begin
  select * into v_map from public.loom_maps where job_id = p_map;
  select * into v_job from public.loom_jobs where id = p_map;
  v_has_outcomes := (select map ->> 'tolerate' is not null from public.loom_job_specs where id = v_job.spec);
  v_state := case when p_problem is not null or v_map.failed > v_map.tolerated then 'failed'
                  when v_map.cancelled > 0 or coalesce(v_map.made < v_map.total, true) then 'cancelled'
                  else 'succeeded' end;
  if v_state = 'succeeded' and v_map.result_bytes <= public.loom_limit('results_bytes') then
    v_result := (
      select '[' || coalesce(string_agg(
               case when not v_has_outcomes then result
                    when state = 'succeeded' then '{"ok":true,"value":' || result || '}'
                    else json_build_object('ok', false, 'error', public.loom_item_error(error))::text end,
               ',' order by item_index), '') || ']'
        from public.loom_jobs where item_of = p_map);
    if octet_length(v_result) > public.loom_limit('results_bytes') then
      v_result := null;
    end if;
  end if;
  if v_state = 'failed' and v_error is null then
    select item_index, error into v_first from public.loom_jobs
     where item_of = p_map and state = 'failed' order by item_index limit 1;
    v_error := json_build_object('name', 'ItemsFailedError', 'code', 'ITEMS_FAILED', 'message', format(
      '%s of %s items failed, and %s may; the first is item %s: %s', v_map.failed, v_map.total, v_map.tolerated, v_first.item_index,
      coalesce(left(public.loom_read_text(public.loom_item_error(v_first.error), 'message'), 500), 'it says no reason')));
  end if;
  update public.loom_jobs
     set state = v_state::public.loom_job_state, finished_at = clock_timestamp(), result = v_result, error = v_error::text
   where id = p_map;
  -- Its items have the results too, so those that could not be kept together are counted.
  update public.loom_maps set is_due = false where job_id = p_map;
  insert into public.loom_event_batches (type, state, detail, jobs, runs)
  values ('job.mapped', v_state, v_error ->> 'code', array[p_map], array[v_job.run_id]);
end $$;

-- What the steps that read a list of results learn of an item's error: its code and its message, if that is no longer
-- than a screen.
create or replace function public.loom_item_error(p_error text)
  returns json
  language plpgsql
  immutable
  set search_path = ''
as $$
begin
  return (
  select json_build_object('code', case when json_typeof(code) = 'string' and octet_length(code::text) <= 200 then code end,
                           'message', case when json_typeof(message) = 'string' and octet_length(message::text) <= 4000 then message end)
    from (select case when public.loom_is_extractable(error) then error -> 'code' end as code,
                 case when public.loom_is_extractable(error) then error -> 'message' end as message
            from (select p_error::json as error) as parsed) as found);
end $$;

-- A text in a JSON object; null if Postgres cannot hold it.
create or replace function public.loom_read_text(p_value json, p_name text)
  returns text
  language plpgsql
  immutable
  set search_path = ''
as $$
begin
  return case when public.loom_is_extractable(p_value) then p_value ->> p_name end;
end $$;

-- Adds names to a list that has each name once, in their order.
create or replace function public.loom_add_nodes(p_nodes text[], p_more text[])
  returns text[]
  language sql
  immutable
  set search_path = ''
as $$
  select case when p_more is null or p_more <@ p_nodes then p_nodes
              else array(select distinct unnest(p_nodes || p_more) order by 1) end;
$$;

-- Lists the items of a step in their order, without their inputs and results. p_after is the `next` of an earlier
-- answer. One call reads at most 10 000 items, which is all of them. Null if there is no such job.
create or replace function public.loom_list_items(
  p_map   bigint,
  p_state text default null,
  p_after integer default null,
  p_limit integer default 50
)
  returns json
  language sql
  stable
  security definer
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
  with page as materialized (
    select id, item_index from public.loom_jobs
     where item_of = p_map and item_index > coalesce(p_after, -1) and (p_state is null or state::text = p_state)
     order by item_index
     limit least(greatest(p_limit, 1), 500)
  )
  select case when exists (select from public.loom_jobs where id = p_map) then json_build_object(
    'items', coalesce((
      select json_agg(json_build_object(
               'id', job.id, 'index', job.item_index, 'state', job.state,
               'key', left(coalesce(public.loom_read_text(coalesce(job.payload, detail.payload)::json, step.map ->> 'key'), job.item_index::text), 300),
               'host', case when job.state in ('pending', 'running') then job.target_host else coalesce(job.ran_on, job.target_host) end,
               'attempt', job.attempt, 'max_attempts', spec.max_attempts, 'crash_restarts', job.crash_restarts,
               'waiting_reason', job.waiting_reason, 'error', case when job.error is not null then public.loom_item_error(job.error) end,
               'created_at', job.created_at, 'claimed_at', job.claimed_at, 'finished_at', job.finished_at) order by job.item_index)
        from page
       cross join lateral (select * from public.loom_jobs where id = page.id offset 0) as job
       cross join lateral (select max_attempts from public.loom_job_specs where id = job.spec offset 0) as spec
       cross join lateral (
         select map from public.loom_job_specs where id = (select spec from public.loom_jobs where id = p_map) offset 0) as step
        left join lateral (select payload from public.loom_job_details where job_id = page.id offset 0) as detail on true), '[]'),
    'next', case when (select count(*) from page) >= least(greatest(p_limit, 1), 500) then (select max(item_index) from page) end) end;
$$;
