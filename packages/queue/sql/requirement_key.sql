-- Tells which jobs placing reads together, a few at a time and the oldest first: those
-- of a workflow with equal needs, in one of nine lanes. Jobs without a run have a lane
-- of their own, and runs share eight. So ten thousand jobs that were added at once hide
-- no run, and a run of ten thousand steps hides one in eight of the same workflow's
-- runs behind it, while there are never more than nine times as many kinds as needs.
create or replace function public.loom_requirement_key(
  p_workflow text,
  p_requires text[],
  p_prefers  jsonb,
  p_run      uuid default null
)
  returns text
  language sql
  stable
  set search_path = ''
as $$
  select md5(concat_ws(e'\n', p_workflow, p_requires, p_prefers, get_byte(uuid_send(p_run), 15) % 8));
$$;

revoke all on function public.loom_requirement_key from public, anon, authenticated, service_role;
