-- Of the given jobs, which the caller has locked, those that may run now without
-- exceeding the limit of their concurrency key.
--
-- Running jobs are counted, under the lock of the key's bucket, so no counter can
-- drift. Two claims of one key come one after the other, and the second counts what
-- the first committed. Buckets are locked in one order and last, and whoever holds one
-- waits for nothing but a later one. A settle that ends meanwhile only makes room.
create or replace function public.loom_admit_jobs(p_jobs bigint[])
  returns bigint[]
  language plpgsql
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
declare
  -- 'and 255': hashtext may be negative.
  v_buckets smallint[] := array(
    select distinct (hashtext(concurrency_key) & 255)::smallint from public.loom_job_queue
     where id = any(p_jobs) and concurrency_key is not null);
begin
  if v_buckets = '{}' then
    return p_jobs;
  end if;
  perform from public.loom_concurrency_locks where bucket = any(v_buckets) order by bucket for update;

  return array(
    select id
      from (select job.id, job.concurrency_key, job.concurrency_limit,
                   row_number() over (partition by job.concurrency_key order by job.priority, job.run_at, job.id) as place,
                   (select count(*) from public.loom_job_queue as other
                     where other.concurrency_key = job.concurrency_key and other.concurrency_key is not null
                       and other.state in ('pending', 'running') and other.state = 'running') as running
              from public.loom_job_queue as job
             where job.id = any(p_jobs)) as candidate
     where concurrency_key is null or place + running <= concurrency_limit);
end $$;

revoke all on function public.loom_admit_jobs from public, anon, authenticated, service_role;
