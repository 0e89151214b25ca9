-- The different needs and priorities of what waits, in order; p_most of them, all
-- where that is null. A loose index scan: it steps from one to the next, so the cost
-- follows their number and not the length of the queue.
create or replace function public.loom_kinds_waiting(p_most integer default null)
  returns table (requirement_key text, priority smallint)
  language sql
  stable
  rows 100
  set search_path = ''
as $$
  with recursive kind as (
    (select job.requirement_key, job.priority
       from public.loom_job_queue as job where job.state = 'waiting'
      order by job.requirement_key, job.priority limit 1)
    union all
    select next.requirement_key, next.priority
      from kind
     cross join lateral (
       select job.requirement_key, job.priority
         from public.loom_job_queue as job
        where job.state = 'waiting'
          and (job.requirement_key, job.priority) > (kind.requirement_key, kind.priority)
        order by job.requirement_key, job.priority limit 1) as next
  )
  select kind.requirement_key, kind.priority from kind limit p_most;
$$;

revoke all on function public.loom_kinds_waiting from public, anon, authenticated, service_role;
