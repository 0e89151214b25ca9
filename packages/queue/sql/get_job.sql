-- A job, or null.
create or replace function public.loom_get_job(p_job bigint)
  returns json
  language sql
  stable
  security definer
  set search_path = ''
as $$
  select public.loom_describe_job(job) from public.loom_job_queue as job where job.id = p_job;
$$;

revoke all on function public.loom_get_job from public, anon, authenticated, service_role;
grant execute on function public.loom_get_job to service_role;
