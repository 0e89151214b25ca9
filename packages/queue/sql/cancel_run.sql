-- Cancels what is not finished of a run. Null when there is no such run.
create or replace function public.loom_cancel_run(p_run uuid)
  returns json
  language plpgsql
  security definer
  set search_path = ''
  set lock_timeout = '5s'
as $$
declare
  v_status text;
begin
  perform from public.loom_runs where id = p_run for no key update;
  perform public.loom_cancel_jobs(array(
    select id from public.loom_job_queue where run_id = p_run and finished_at is null));
  select status into v_status from public.loom_runs where id = p_run;
  return case when v_status is not null then json_build_object('status', v_status) end;
end $$;

revoke all on function public.loom_cancel_run from public, anon, authenticated, service_role;
grant execute on function public.loom_cancel_run to service_role;
