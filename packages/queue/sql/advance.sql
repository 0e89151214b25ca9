-- Applies the consequences of jobs that have just reached a final state. Their
-- dependents become ready or are skipped, and a run without unfinished steps is
-- finished. A dependent whose inputs are too large together fails instead
-- (loom_refuse_results).
--
-- A step decides when all its needs have ended; one that runs after success also as soon
-- as one of them has failed. docs/forms.md has the table.
--
-- The caller holds the locks of these jobs' runs (loom_lock_runs). A run's status
-- follows from its steps alone: failed if one failed that is not optional, else cancelled
-- if one was cancelled, else succeeded.
--
-- Every step is found by its key, whatever the statistics say. A table that was analysed
-- while it was empty counts as empty until it is analysed again. A join with it is then
-- planned as one row with one row, and compared ten thousand steps with every row. So
-- steps are looked up laterally behind an 'offset 0', which prevents a join, and written
-- by 'id = any(array[...])', which Postgres can only use as a key.
create or replace function public.loom_advance_runs(p_finished bigint[])
  returns void
  language plpgsql
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
declare
  v_now     timestamptz := clock_timestamp();
  v_wave    bigint[];
  v_ended   bigint[] := '{}';
  v_needed  bigint[];
  v_lost    bigint[];
  v_skipped bigint[];
  v_ready   bigint[];
  v_is_suspended boolean;
begin
  if p_finished = '{}' then
    return;
  end if;
  v_wave := public.loom_count_items(p_finished);
  if v_wave = '{}' then
    return;
  end if;

  -- What ends in one wave may end others, which are the next one. Each job is in one wave.
  while v_wave <> '{}' loop
    v_ended := v_ended || v_wave;
    select array_agg(job.id),
           array_agg(job.id) filter (
             where job.state <> 'succeeded'
               and public.loom_outcome(job.state, job.skip_reason, spec.is_optional, spec.cascades) <> 'passed')
      into v_needed, v_lost
      from public.loom_jobs as job
     cross join lateral (
       select dependents, is_optional, cascades from public.loom_job_specs where id = job.spec offset 0) as spec
     where job.id = any(v_wave) and spec.dependents <> '{}';
    exit when v_needed is null;
    v_wave := '{}';
    if v_lost is not null then
      v_wave := public.loom_skip_dependents(v_lost);
      v_ended := v_ended || v_wave;
      v_needed := v_needed || v_wave;
    end if;

    -- Several needs of a job may have ended in one batch, so they are subtracted together.
    with freed as materialized (
      select found.id, step.needs, step.failed, step.skipped, spec.runs_after, spec.start_within_ms, spec.suspends,
             spec.is_map
        from (select job.run_id, next.step_id, count(*)::integer as needs,
                     bool_or(outcome.value = 'failed') as failed, bool_or(outcome.value = 'skipped') as skipped
                from public.loom_jobs as job
               cross join lateral (
                 select dependents, is_optional, cascades from public.loom_job_specs where id = job.spec offset 0) as spec
               cross join lateral (
                 select case when job.state = 'succeeded' then 'passed'
                             else public.loom_outcome(job.state, job.skip_reason, spec.is_optional, spec.cascades) end as value) as outcome
               cross join lateral unnest(spec.dependents) as next(step_id)
               where job.id = any(v_needed)
               group by job.run_id, next.step_id) as step
       cross join lateral (
         select id, spec from public.loom_jobs where run_id = step.run_id and step_id = step.step_id and item_of is null and state = 'blocked'
         offset 0) as found
       cross join lateral (
         select runs_after, start_within_ms, has_condition or wait is not null as suspends, map is not null as is_map
           from public.loom_job_specs where id = found.spec offset 0) as spec
    ),
    decided as materialized (
      select freed.*, case when job.waits_for > freed.needs then null
                           when freed.runs_after = 'failure' and not (job.need_failed or freed.failed) then 'nothing_failed'
                           when freed.runs_after = 'success' and (job.need_skipped or freed.skipped) then 'need_skipped'
                           end as reason
        from freed
       cross join lateral (select waits_for, need_failed, need_skipped from public.loom_jobs where id = freed.id offset 0) as job
    ),
    written as (
      update public.loom_jobs as job
         set waits_for    = job.waits_for - decided.needs,
             need_failed  = job.need_failed or decided.failed,
             need_skipped = job.need_skipped or decided.skipped,
             run_at       = case when job.waits_for = decided.needs then v_now else job.run_at end,
             start_by     = case when job.waits_for = decided.needs and decided.reason is null and not decided.suspends
                                 then v_now + interval '1 millisecond' * decided.start_within_ms end,
             finished_at  = case when decided.reason is not null then v_now end,
             skip_reason  = decided.reason,
             state        = case when job.waits_for > decided.needs then 'blocked'
                                 when decided.reason is not null then 'skipped'
                                 when decided.suspends then 'suspended'
                                 when decided.is_map then 'mapping'
                                 when job.host_pinned then 'pending'
                                 else 'waiting' end::public.loom_job_state
        from decided
       where job.id = any(array[decided.id]) and job.state = 'blocked'
      returning job.id, job.run_id, job.state, job.skip_reason
    ),
    event as (
      insert into public.loom_event_batches (type, state, detail, jobs, runs)
      select case state when 'skipped' then 'job.skipped' when 'suspended' then 'job.suspended' else 'job.ready' end, state, skip_reason,
             array_agg(id order by id), array_agg(run_id order by id)
        from written where state <> 'blocked' group by state, skip_reason, id / 10000
    )
    select coalesce(array_agg(id) filter (where state in ('mapping', 'waiting', 'pending', 'suspended')), '{}'),
           coalesce(array_agg(id) filter (where state = 'skipped'), '{}'), coalesce(bool_or(state = 'suspended'), false)
      into v_ready, v_skipped, v_is_suspended
      from written;
    v_wave := v_skipped;
    if v_ready <> '{}' then
      v_wave := v_wave || public.loom_refuse_results(v_ready);
      perform public.loom_make_ready(v_ready);
      if v_is_suspended then
        perform public.loom_suspend(v_ready);
      end if;
      insert into public.loom_maps (job_id) select id from public.loom_jobs where id = any(v_ready) and state = 'mapping';
    end if;
  end loop;

  with ended as materialized (
    select run_id, count(*)::integer as steps from public.loom_jobs where id = any(v_ended) group by run_id
  ),
  written as (
    update public.loom_runs as run
       set open_steps  = run.open_steps - ended.steps,
           finished_at = case when run.open_steps = ended.steps then v_now end,
           status      = case
             when run.open_steps > ended.steps then run.status
             when exists (select from public.loom_jobs as job
                           where job.run_id = run.id and job.item_of is null and job.state = 'failed'
                             and not (select is_optional from public.loom_job_specs where id = job.spec)) then 'failed'
             when exists (select from public.loom_jobs where run_id = run.id and item_of is null and state = 'cancelled') then 'cancelled'
             else 'succeeded' end
      from ended
     where run.id = any(array[ended.run_id])
    returning run.id, run.status, run.finished_at
  )
  insert into public.loom_event_batches (type, state, runs)
  select 'run.finished', status, array_agg(id) from written where finished_at is not null group by status;
end $$;

-- What the steps after a job see of how it ended: 'passed', 'failed' or 'skipped'; null while it has not ended.
-- docs/forms.md has the table.
create or replace function public.loom_outcome(
  p_state public.loom_job_state, p_skip_reason text, p_is_optional boolean, p_cascades boolean
)
  returns text
  language sql
  immutable
  set search_path = ''
as $$
  select case
    when p_state = 'succeeded' or p_state = 'failed' and p_is_optional then 'passed'
    when p_state in ('failed', 'cancelled') or p_state = 'skipped' and p_skip_reason = 'need_failed' then 'failed'
    when p_state = 'skipped' and (p_cascades or p_skip_reason = 'need_skipped') then 'skipped'
    when p_state = 'skipped' then 'passed'
  end;
$$;

-- Skips the steps that can no longer run after the given jobs, which did not pass, and those after them. Returns them.
--
-- A step that runs after success is skipped as soon as one of its needs has failed. For a need that was skipped it
-- waits until all have ended, because one that fails decides otherwise; where it needs nothing else, that is at once.
-- So a chain of ten thousand steps is skipped by one statement.
create or replace function public.loom_skip_dependents(p_lost bigint[])
  returns bigint[]
  language plpgsql
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
declare
  v_now     timestamptz := clock_timestamp();
  v_skipped bigint[];
begin
  with recursive lost as (
    select job.run_id, next.step_id, outcome.value as outcome
      from public.loom_jobs as job
     cross join lateral (
       select dependents, is_optional, cascades from public.loom_job_specs where id = job.spec offset 0) as spec
     cross join lateral (
       select public.loom_outcome(job.state, job.skip_reason, spec.is_optional, spec.cascades) as value) as outcome
     cross join lateral unnest(spec.dependents) as next(step_id)
     where job.id = any(p_lost)
    union
    select lost.run_id, next.step_id, lost.outcome
      from lost
     cross join lateral (
       select spec from public.loom_jobs where run_id = lost.run_id and step_id = lost.step_id and item_of is null and state = 'blocked'
        offset 0) as step
     cross join lateral (
       select dependents, runs_after, cardinality(after) as needs from public.loom_job_specs where id = step.spec offset 0) as spec
     cross join lateral unnest(spec.dependents) as next(step_id)
     where spec.runs_after = 'success' and (lost.outcome = 'failed' or spec.needs = 1)
  ),
  found as materialized (
    select step.id, lost.outcome
      from lost
     cross join lateral (
       select id, spec from public.loom_jobs where run_id = lost.run_id and step_id = lost.step_id and item_of is null and state = 'blocked'
        offset 0) as step
     cross join lateral (
       select runs_after, cardinality(after) as needs from public.loom_job_specs where id = step.spec offset 0) as spec
     where spec.runs_after = 'success' and (lost.outcome = 'failed' or spec.needs = 1)
  ),
  skipped as (
    update public.loom_jobs as job
       set state = 'skipped', finished_at = v_now,
           skip_reason = case found.outcome when 'failed' then 'need_failed' else 'need_skipped' end
      from found
     where job.id = any(array[found.id]) and job.state = 'blocked'
    returning job.id, job.run_id, job.skip_reason
  ),
  event as (
    insert into public.loom_event_batches (type, state, detail, jobs, runs)
    select 'job.skipped', 'skipped', skip_reason, array_agg(id order by id), array_agg(run_id order by id)
      from skipped group by skip_reason, id / 10000
  )
  select coalesce(array_agg(id), '{}') into v_skipped from skipped;
  return v_skipped;
end $$;

-- Fails those of the given ready jobs whose needs' results are together larger than a
-- step may read: no node could take them within the time of a call. Returns their ids.
-- The caller advances their runs, whose locks it holds.
--
-- The sum is known before a node claims the job, and does not change, because a result
-- is final. The length of a stored text is read from its header, without the text.
create or replace function public.loom_refuse_results(p_ready bigint[])
  returns bigint[]
  language plpgsql
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
declare
  v_refused bigint[];
begin
  if p_ready = '{}' then
    return p_ready;
  end if;
  with read as materialized (
    select job.id, cardinality(spec.after) as steps, (
             select sum(coalesce(octet_length(earlier.result), (
                      -- The results of its items may be too large to be kept together.
                      select result_bytes from public.loom_maps where job_id = earlier.id and earlier.state = 'succeeded')))
               from public.loom_jobs as earlier
              where earlier.run_id = job.run_id and earlier.step_id = any(spec.after) and earlier.item_of is null) as bytes
      from public.loom_jobs as job
     cross join lateral (select after, wait is not null and not has_condition as reads_nothing from public.loom_job_specs where id = job.spec offset 0) as spec
     where job.id = any(p_ready) and spec.after <> '{}' and not spec.reads_nothing
  ),
  refused as (
    update public.loom_jobs as job
       set state = 'failed', finished_at = clock_timestamp(), start_by = null,
           error = json_build_object('name', 'ResultsTooLargeError', 'code', 'RESULTS_TOO_LARGE', 'message', format(
                     'the results of the %s steps that it comes after hold %s bytes together, of at most %s: store them elsewhere and return references',
                     read.steps, read.bytes, public.loom_limit('results_bytes')))::text
      from read
     where job.id = any(array[read.id]) and read.bytes > public.loom_limit('results_bytes')
    returning job.id, job.run_id
  ),
  event as (
    insert into public.loom_event_batches (type, state, detail, jobs, runs)
    select 'job.refused', 'failed', 'RESULTS_TOO_LARGE', array_agg(id order by id), array_agg(run_id order by id)
      from refused having count(*) > 0
  )
  select coalesce(array_agg(id), '{}') into v_refused from refused;
  return v_refused;
end $$;

-- Locks the given jobs, after their runs, both ordered by id. Their rows in loom_ready are not locked: whoever holds one
-- of those waits for no job.
--
-- Call it in a statement before the one that writes. A statement that does both and has
-- to wait for a lock decides by the old version of the row what it writes. A separate
-- second statement sees the other transactions' writes.
--
-- With p_ran_on, only jobs that this node ran last are locked. Returns the locked jobs.
create or replace function public.loom_lock_jobs(p_jobs bigint[], p_ran_on text default null)
  returns bigint[]
  language plpgsql
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
declare
  v_jobs bigint[] := p_jobs;
begin
  if p_ran_on is not null then
    v_jobs := array(select id from public.loom_jobs where id = any(p_jobs) and ran_on = p_ran_on);
  end if;
  perform public.loom_lock_runs(v_jobs);
  return array(
    select id from public.loom_jobs
     where id = any(v_jobs)
     order by id
       for no key update);
end $$;

-- Locks the runs of the given jobs, ordered by id.
--
-- A function that may finish a job takes this lock before any job's lock. So the steps
-- of one run are advanced by one transaction at a time: the last two steps cannot each
-- find the other unfinished, and two transactions never wait for each other's jobs.
create or replace function public.loom_lock_runs(p_jobs bigint[])
  returns void
  language plpgsql
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
as $$
begin
  -- An array and not 'in': as a join, it was planned to read all runs while there were
  -- few. With 'run_id is not null' an index of all steps could be read instead.
  perform from public.loom_runs
    where id = any(array(select run_id from public.loom_jobs where id = any(p_jobs)))
    order by id
      for no key update;
end $$;
