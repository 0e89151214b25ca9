-- Every paused workflow, with since when and why.
create or replace function public.loom_list_paused()
  returns json
  language sql
  stable
  security definer
  set search_path = ''
as $$
  select coalesce(json_agg(json_build_object(
           'workflow_id', workflow_id, 'note', note, 'paused_at', paused_at) order by workflow_id), '[]')
    from public.loom_paused_workflows;
$$;

revoke all on function public.loom_list_paused from public, anon, authenticated, service_role;
grant execute on function public.loom_list_paused to service_role;
