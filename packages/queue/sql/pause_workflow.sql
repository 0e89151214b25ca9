-- Pauses or resumes a workflow: its jobs are neither placed nor claimed meanwhile.
-- What runs goes on. Pausing again changes the note.
create or replace function public.loom_pause_workflow(p_workflow text, p_paused boolean, p_note text default null)
  returns json
  language plpgsql
  security definer
  set search_path = ''
as $$
begin
  if p_paused then
    insert into public.loom_paused_workflows (workflow_id, note) values (p_workflow, p_note)
    on conflict (workflow_id) do update set note = excluded.note;
  else
    delete from public.loom_paused_workflows where workflow_id = p_workflow;
  end if;
  if found then
    insert into public.loom_events (type, detail)
    values (case when p_paused then 'workflow.paused' else 'workflow.resumed' end, p_workflow);
  end if;
  return json_build_object('paused', p_paused);
end $$;

revoke all on function public.loom_pause_workflow from public, anon, authenticated, service_role;
grant execute on function public.loom_pause_workflow to service_role;
