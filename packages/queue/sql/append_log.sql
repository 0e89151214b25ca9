-- Appends output to the log of an attempt that its node still owns.
--
-- A chunk says where it begins (in bytes of the whole output), so appending it again
-- after a lost answer changes nothing. Answers accepted, stale (a newer claim exists,
-- or this one is settled), unknown, or too_large: beyond 10 MiB nothing is kept.
create or replace function public.loom_append_log(p_node text, p_job bigint, p_fence integer, p_chunks json)
  returns json
  language plpgsql
  security definer
  set search_path = ''
as $$
declare
  v_node   text := public.loom_acting_node(p_node);
  v_job    public.loom_job_queue;
  v_answer text;
begin
  select * into v_job from public.loom_job_queue where id = p_job;
  v_answer := case
    when v_job.id is null or v_job.ran_on is distinct from v_node then 'unknown'
    when v_job.fence <> p_fence or v_job.settled_fence >= p_fence then 'stale'
    when exists (select from json_to_recordset(p_chunks) as c(start integer, chunk text)
                  where c.start + octet_length(c.chunk) > 10485760) then 'too_large'
    else 'accepted' end;
  if v_answer = 'accepted' then
    insert into public.loom_job_logs (job_id, fence, start, chunk)
    select p_job, p_fence, c.start, c.chunk
      from json_to_recordset(p_chunks) as c(start integer, chunk text)
     where c.chunk <> ''
     -- In one order: copies of a call wait in line for each other's chunks.
     order by c.start
    on conflict do nothing;
  end if;
  return json_build_object('answer', v_answer);
end $$;

revoke all on function public.loom_append_log from public, anon, authenticated, service_role;
grant execute on function public.loom_append_log to service_role;
