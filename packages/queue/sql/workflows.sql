-- Pauses or resumes a workflow. The jobs of a paused workflow are neither placed nor
-- claimed; running jobs go on. Pausing again changes the note.
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
    insert into public.loom_event_batches (type, detail)
    values (case when p_paused then 'workflow.paused' else 'workflow.resumed' end, p_workflow);
  end if;
  return json_build_object('paused', p_paused);
end $$;

-- Lists the paused workflows, with the time and the note.
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
