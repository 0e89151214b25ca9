-- Finds where to begin reading events so that those of the last p_ago_ms are told, at
-- most p_limit of them: behind the newest one that is older, or behind the p_limit-th.
--
-- Walks the primary key backwards until an event is older, so the cost follows what is
-- told. Numbers are given before the commit and times while the transaction works:
-- around the beginning a few events may be told that are a little older, or not told
-- that are a little younger.
create or replace function public.loom_find_event_cursor(p_ago_ms bigint, p_limit integer default 20000)
  returns json
  language sql
  stable
  security definer
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
as $$
  select json_build_object('cursor', coalesce(
    (select format('%s.%s', xid, id)
       from (select xid, id, at from public.loom_events
              where xid < pg_snapshot_xmin(pg_current_snapshot())
              order by xid desc, id desc
              limit least(greatest(p_limit, 1), 20000)) as newest
      where at < now() - least(greatest(p_ago_ms, 0), 3600000) * interval '1 millisecond'
      order by xid desc, id desc
      limit 1),
    (select format('%s.%s', xid, id)
       from public.loom_events
      where xid < pg_snapshot_xmin(pg_current_snapshot())
      order by xid desc, id desc
      limit 1 offset least(greatest(p_limit, 1), 20000)),
    '0.0'))
$$;

revoke all on function public.loom_find_event_cursor from public, anon, authenticated, service_role;
grant execute on function public.loom_find_event_cursor to service_role;
