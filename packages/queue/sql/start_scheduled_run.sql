-- Starts a run of a schedule. p_plan: {"version", "input" (JSON text), "jobs"}, as for
-- loom_start_run. The caller holds the schedule's row.
create or replace function public.loom_start_scheduled_run(
  p_schedule public.loom_schedules,
  p_plan     json,
  p_trigger  text,
  p_key      text,
  p_asked_by text
)
  returns uuid
  language plpgsql
  set search_path = ''
as $$
declare
  v_run uuid;
begin
  v_run := public.loom_start_run(
    p_workflow => p_schedule.workflow_id, p_version => p_plan ->> 'version', p_input => p_plan ->> 'input',
    p_jobs => p_plan -> 'jobs', p_trigger => p_trigger, p_key => p_key, p_asked_by => p_asked_by) ->> 'run_id';
  update public.loom_runs set schedule_id = p_schedule.id where id = v_run;
  return v_run;
end $$;

revoke all on function public.loom_start_scheduled_run from public, anon, authenticated, service_role;
