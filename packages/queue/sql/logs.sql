-- Appends output to the log of an attempt that its node still owns.
--
-- A chunk contains its start in bytes of the whole output, so appending it again after
-- a lost answer changes nothing. The answer is accepted, stale (a newer claim exists, or
-- this one is settled), unknown, or too_large: output beyond log_bytes is not kept. A
-- chunk that overlaps another is skipped, so an attempt never stores more than log_bytes.
create or replace function public.loom_append_log(p_node text, p_job bigint, p_fence integer, p_chunks json)
  returns json
  language plpgsql
  security definer
  set search_path = ''
as $$
declare
  v_node   text := public.loom_acting_node(p_node);
  v_job    record;
  v_answer text;
begin
  if json_typeof(p_chunks) is distinct from 'array' or json_array_length(p_chunks) > public.loom_limit('log_chunks_per_call') then
    raise exception 'chunks are an array of at most %', public.loom_limit('log_chunks_per_call')
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'append in smaller batches';
  end if;
  -- Locked, so that the job is not removed before its log is there.
  select id, ran_on, fence, settled_fence into v_job from public.loom_jobs where id = p_job for key share;
  v_answer := case
    when v_job.id is null or v_job.ran_on is distinct from v_node then 'unknown'
    when v_job.fence <> p_fence or v_job.settled_fence >= p_fence then 'stale'
    when exists (select from json_to_recordset(p_chunks) as c(start integer, chunk text)
                  where c.start + octet_length(c.chunk) > public.loom_limit('log_bytes')) then 'too_large'
    else 'accepted' end;
  if v_answer = 'accepted' then
    insert into public.loom_job_logs (job_id, fence, start, chunk)
    select p_job, p_fence, c.start, c.chunk
      from (select start, chunk, start + octet_length(chunk) as stop,
                   lag(start + octet_length(chunk)) over (order by start) as stop_before
              from json_to_recordset(p_chunks) as given(start integer, chunk text)
             where chunk <> '') as c
     where coalesce(c.stop_before <= c.start, true)
       and coalesce((select log.start + octet_length(log.chunk) from public.loom_job_logs as log
                      where log.job_id = p_job and log.fence = p_fence and log.start < c.start
                      order by log.start desc limit 1) <= c.start, true)
       and coalesce((select log.start from public.loom_job_logs as log
                      where log.job_id = p_job and log.fence = p_fence and log.start > c.start
                      order by log.start limit 1) >= c.stop, true)
     -- One order, so that copies of a call cannot deadlock.
     order by c.start
    on conflict do nothing;
  end if;
  return json_build_object('answer', v_answer);
end $$;

-- Reads the log of an attempt from a byte on: at most p_limit chunks that reach beyond
-- it, and the position of the next read. If p_fence is null, it reads the newest
-- attempt.
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
    select coalesce(p_fence, (select fence from public.loom_jobs where id = p_job)) as fence
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

-- Reads the end of an attempt's log: the last chunks that together hold p_lines lines, in
-- order, at most 4 MiB of them. The first of them may begin with lines before those. If
-- p_fence is null, it reads the newest attempt. One attempt has at most log_bytes.
create or replace function public.loom_tail_log(p_job bigint, p_fence integer, p_lines integer)
  returns json
  language sql
  stable
  security definer
  set search_path = ''
as $$
  with attempt as (
    select coalesce(p_fence, (select fence from public.loom_jobs where id = p_job)) as fence
  ),
  counted as (
    select log.start, log.chunk,
           sum(octet_length(log.chunk)) over from_end as bytes,
           sum(length(log.chunk) - length(replace(log.chunk, E'\n', ''))) over from_end
             - (length(log.chunk) - length(replace(log.chunk, E'\n', ''))) as lines_after
      from public.loom_job_logs as log, attempt
     where log.job_id = p_job and log.fence = attempt.fence
    window from_end as (order by log.start desc)
  )
  select json_build_object(
    'fence', (select fence from attempt),
    -- A newline at the very end begins no line, so one more of them is needed.
    'chunks', (select coalesce(json_agg(json_build_object('start', start, 'chunk', chunk) order by start), '[]')
                 from counted where lines_after <= p_lines and bytes <= 4194304),
    'next', coalesce((select max(start + octet_length(chunk)) from counted), 0));
$$;
