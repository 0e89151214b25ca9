-- Reads events after a cursor, oldest first. The next call starts at the cursor of this
-- answer. Null starts at the first event, 'now' after the last.
--
-- An identity number is assigned before the commit, so a smaller number can become
-- visible after a larger one. The function therefore reads only events below the oldest
-- open transaction, where nothing can appear any more. Any long writing transaction in
-- this database delays events, but loses none.
create or replace function public.loom_read_events(p_after text default null, p_limit integer default 500)
  returns json
  language plpgsql
  stable
  security definer
  set search_path = ''
  set plan_cache_mode = force_generic_plan
as $$
declare
  v_horizon xid8 := pg_snapshot_xmin(pg_current_snapshot());
  v_xid     xid8 := '0';
  v_id      bigint := 0;
  v_answer  json;
begin
  if p_after = 'now' then
    return json_build_object('events', '[]'::json, 'cursor', format('%s.0', v_horizon));
  end if;
  if p_after !~ '^[0-9]{1,19}\.[0-9]{1,18}$' then
    raise exception 'unknown cursor of events'
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'use the cursor of an earlier answer, or "now"';
  elsif p_after is not null then
    v_xid := split_part(p_after, '.', 1)::xid8;
    v_id := split_part(p_after, '.', 2)::bigint;
  end if;

  -- The batch that the cursor is in begins at most 16383 before it.
  with batch as materialized (
    select * from public.loom_event_batches
     where (xid, id) > (v_xid, v_id - 16384) and xid < v_horizon
     order by xid, id
     limit least(greatest(p_limit, 1), 10000) + 1
  ),
  part as (
    select batch.xid, batch.id + coalesce(item.place, 1) - 1 as id, batch.at, batch.type,
           coalesce(item.run_id, batch.run_id) as run_id, item.job_id, batch.state, batch.node, batch.epoch, item.fence, batch.detail
      from batch
      left join lateral unnest(batch.jobs, batch.runs, batch.fences) with ordinality as item(job_id, run_id, fence, place) on true
     where (batch.xid, batch.id + coalesce(item.place, 1) - 1) > (v_xid, v_id)
     order by batch.xid, 2
     limit least(greatest(p_limit, 1), 10000)
  )
  select json_build_object(
           'events', coalesce(json_agg(json_build_object(
             'cursor', format('%s.%s', xid, id), 'seq', id, 'at', at, 'type', type, 'run_id', run_id, 'job_id', job_id,
             'state', state, 'node', node, 'epoch', epoch, 'fence', fence, 'detail', detail) order by xid, id), '[]'),
           'cursor', coalesce((array_agg(format('%s.%s', xid, id) order by xid desc, id desc))[1], p_after))
    into v_answer
    from part;
  return v_answer;
end $$;

-- Finds the cursor from which the events of the last p_ago_ms are read, at most p_limit
-- of them.
--
-- It walks the primary key backwards until a batch is older, so the cost follows the
-- number of events returned. Numbers are assigned before the commit, and times during
-- the transaction. So near the start, a few events that are slightly older may be
-- included, and a few that are slightly younger may be missing. A batch is read whole or not at all, but for the newest.
create or replace function public.loom_find_event_cursor(p_ago_ms bigint, p_limit integer default 20000)
  returns json
  language sql
  stable
  security definer
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
as $$
  with newest as (
    select xid, id, at, greatest(cardinality(jobs), cardinality(runs), 1) as events
      from public.loom_event_batches
     where xid < pg_snapshot_xmin(pg_current_snapshot())
     order by xid desc, id desc
     limit least(greatest(p_limit, 1), 20000) + 1
  ),
  counted as (
    select xid, id, at, events, sum(events) over (order by xid desc, id desc) as total from newest
  )
  select json_build_object('cursor', coalesce((
    select case when total - events = 0 and at >= now() - least(greatest(p_ago_ms, 0), 3600000) * interval '1 millisecond'
                -- Only the last events of the newest batch.
                then format('%s.%s', xid, id + events - least(greatest(p_limit, 1), 20000) - 1)
                else format('%s.%s', xid, id + events - 1) end
      from counted
     where at < now() - least(greatest(p_ago_ms, 0), 3600000) * interval '1 millisecond'
        or total > least(greatest(p_limit, 1), 20000)
     order by xid desc, id desc
     limit 1), '0.0'))
$$;
