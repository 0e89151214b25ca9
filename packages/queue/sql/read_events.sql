-- Reads events after a cursor, oldest first. The cursor of an answer is where the
-- next call goes on; null begins at the beginning, 'now' behind all that has happened.
--
-- Identity numbers are given before the commit, so a smaller one can become visible
-- after a larger one. Read is therefore only what lies below the oldest transaction
-- that is still open: nothing can appear there any more. A long writing transaction
-- of anybody in this database holds events back, and loses none.
create or replace function public.loom_read_events(p_after text default null, p_limit integer default 500)
  returns json
  language plpgsql
  stable
  security definer
  set search_path = ''
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
    raise exception 'not a cursor of events: %', left(p_after, 100)
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'use the cursor of an earlier answer, or "now"';
  elsif p_after is not null then
    v_xid := split_part(p_after, '.', 1)::xid8;
    v_id := split_part(p_after, '.', 2)::bigint;
  end if;

  with part as (
    select * from public.loom_events
     where (xid, id) > (v_xid, v_id) and xid < v_horizon
     order by xid, id
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

revoke all on function public.loom_read_events from public, anon, authenticated, service_role;
grant execute on function public.loom_read_events to service_role;
