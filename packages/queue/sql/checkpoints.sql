-- What a step keeps for its next attempt: one value for each job, of the attempt that wrote last. It goes with the job.
--
-- A claim brings it (loom_exchange), and knows from loom_ready whether there is one, so a job without one costs a claim
-- nothing. loom_make_ready looks, and only at jobs that ran before or repeat another one.
--
-- Interleavings:
-- - A write against a requeue or a settle: both lock the job. If the write comes first, the row of loom_ready that
--   follows says that there is a checkpoint. If it comes second, the attempt is over, and the answer is stale.
-- - A late copy of an older call: its number is not higher than the stored one, and it changes nothing.

-- Stores the checkpoint of an attempt that its node still owns.
--
-- p_seq counts the checkpoints of the attempt, from 1. The answer is accepted (also of a repeated call), stale (the
-- attempt is over), unknown, too_large (over checkpoint_bytes) or invalid (no JSON: loom_is_json). What is refused
-- leaves the stored one as it is.
create or replace function public.loom_save_checkpoint(p_node text, p_job bigint, p_fence integer, p_seq integer, p_value text)
  returns json
  language plpgsql
  security definer
  set search_path = ''
  set lock_timeout = '5s'
as $$
declare
  v_node   text := public.loom_acting_node(p_node);
  v_job    record;
  v_answer text := case when octet_length(p_value) > public.loom_limit('checkpoint_bytes') then 'too_large'
                        when p_value is null or p_seq is null or p_fence is null or not public.loom_is_json(p_value) then 'invalid'
                        else 'accepted' end;
begin
  if v_answer = 'accepted' then
    -- A job of another node is not locked, so nobody delays it.
    select state, fence into v_job from public.loom_jobs where id = p_job and ran_on = v_node for no key update;
    v_answer := case when not found then 'unknown'
                     when v_job.fence <> p_fence or v_job.state <> 'running' then 'stale'
                     else 'accepted' end;
  end if;
  if v_answer = 'accepted' then
    insert into public.loom_checkpoints as kept (job_id, fence, seq, value) values (p_job, p_fence, p_seq, p_value)
    on conflict (job_id) do update
       set fence = excluded.fence, seq = excluded.seq, value = excluded.value, saved_at = excluded.saved_at
     where (kept.fence, kept.seq) < (excluded.fence, excluded.seq);
  end if;
  return json_build_object('answer', v_answer);
end $$;

-- Gives jobs that repeat others the checkpoints of those. p_jobs[n] repeats p_olds[n].
create or replace function public.loom_copy_checkpoints(p_jobs bigint[], p_olds bigint[])
  returns void
  language sql
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
  insert into public.loom_checkpoints (job_id, fence, seq, value)
  select repeated.job, 0, 0, kept.value
    from unnest(p_jobs, p_olds) as repeated(job, old)
   cross join lateral (select value from public.loom_checkpoints where job_id = repeated.old offset 0) as kept;
$$;
