-- What was done at somebody's request, newest first; see loom_act. p_after is the next
-- of an answer.
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
    raise exception 'not a place in a list of requests: %', left(p_after, 100)
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'use the next of an earlier answer';
  elsif p_after is not null then
    v_xid := split_part(p_after, '.', 1)::xid8;
    v_id := split_part(p_after, '.', 2)::bigint;
  end if;
  with page as (
    select xid, id, at, detail from public.loom_events
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

revoke all on function public.loom_list_requests from public, anon, authenticated, service_role;
grant execute on function public.loom_list_requests to service_role;
