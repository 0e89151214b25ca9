-- A slot as the API shows it.
create or replace function public.loom_describe_slot(p_slot public.loom_schedule_slots)
  returns json
  language sql
  stable
  set search_path = ''
as $$
  select json_build_object(
    'id', p_slot.id, 'slot_at', p_slot.slot_at, 'outcome', p_slot.outcome, 'queued', p_slot.queued,
    'run_id', p_slot.run_id, 'merged_into', p_slot.merged_into, 'code', p_slot.code, 'reason', p_slot.reason,
    'decided_at', p_slot.decided_at);
$$;

revoke all on function public.loom_describe_slot from public, anon, authenticated, service_role;
