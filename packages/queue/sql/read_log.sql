-- Reads the log of an attempt (the newest, where p_fence is null) from a byte on:
-- the chunks that reach beyond it, at most p_limit of them, and where to go on.
create or replace function public.loom_read_log(
  p_job   bigint,
  p_fence integer default null,
  p_from  integer default 0,
  p_limit integer default 100
)
  returns json
  language sql
  stable
  security definer
  set search_path = ''
as $$
  with attempt as (
    select coalesce(p_fence, (select fence from public.loom_job_queue where id = p_job)) as fence
  ),
  part as (
    select log.start, log.chunk
      from public.loom_job_logs as log, attempt
     where log.job_id = p_job and log.fence = attempt.fence
       and log.start + octet_length(log.chunk) > p_from
     order by log.start
     limit least(greatest(p_limit, 1), 1000)
  )
  select json_build_object(
    'fence', (select fence from attempt),
    'chunks', (select coalesce(json_agg(json_build_object('start', start, 'chunk', chunk) order by start), '[]') from part),
    'next', coalesce((select max(start + octet_length(chunk)) from part), p_from));
$$;

revoke all on function public.loom_read_log from public, anon, authenticated, service_role;
grant execute on function public.loom_read_log to service_role;
