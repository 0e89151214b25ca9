-- The limit of a concurrency key: that of the newest of its unfinished jobs. A workflow that changes its limit so
-- changes it for jobs that already wait, and neither old nor new jobs starve. Null if it has no unfinished job.
create or replace function public.loom_key_limit(p_key text)
  returns integer
  language plpgsql
  stable
  set search_path = ''
as $$
begin
  return (
    select concurrency_limit from public.loom_keyed_jobs where concurrency_key = p_key order by job_id desc limit 1);
end $$;

-- Whether another job of a concurrency key may run. A claim checks it to skip jobs, and loom_admit_jobs to be sure.
create or replace function public.loom_key_has_place(p_key text)
  returns boolean
  language plpgsql
  stable
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
as $$
begin
  return (
    select public.loom_key_limit(p_key) > (
      select count(*) from public.loom_keyed_jobs
       where concurrency_key = p_key and state in ('pending', 'running') and state = 'running'));
end $$;

-- Selects those of the given jobs, which the caller has locked, that may run now within
-- the limit of their concurrency key.
--
-- Running jobs are counted under the lock of the key's bucket, so no counter can drift.
-- Two claims of one key run one after the other, and the second counts what the first
-- committed. Buckets are locked in one order and last, so a holder waits only for a
-- later bucket. A settle that ends in between only frees a place.
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
  -- 'and 255', because hashtext may be negative.
  v_buckets smallint[] := array(
    select distinct (hashtext(concurrency_key) & 255)::smallint from public.loom_jobs
     where id = any(p_jobs) and concurrency_key is not null);
begin
  if v_buckets = '{}' then
    return p_jobs;
  end if;
  perform from public.loom_concurrency_locks where bucket = any(v_buckets) order by bucket for update;

  return array(
    select id
      from (select job.id, job.concurrency_key, public.loom_key_limit(job.concurrency_key) as concurrency_limit, job.priority, job.run_at,
                   row_number() over (partition by job.concurrency_key order by job.priority, job.run_at, job.id) as place,
                   (select count(*) from public.loom_keyed_jobs as other
                     where other.concurrency_key = job.concurrency_key
                       and other.state in ('pending', 'running') and other.state = 'running') as running
              from public.loom_jobs as job
             where job.id = any(p_jobs)) as candidate
     where concurrency_key is null or place + running <= concurrency_limit
     order by priority, run_at, id);
end $$;
