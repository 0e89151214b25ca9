-- Gives back offers that a node refuses before it claims them, with the reason.
--
-- Only the node's own pending offers are changed. A pinned job can run nowhere else, so
-- it stays. The function skips locked offers: they are being claimed or reaped.
create or replace function public.loom_decline_jobs(p_node text, p_jobs bigint[], p_reason text)
  returns json
  language plpgsql
  security definer
  set search_path = ''
as $$
declare
  v_node     text := public.loom_acting_node(p_node);
  v_declined bigint[];
begin
  if cardinality(p_jobs) > public.loom_limit('jobs_per_call') then
    raise exception 'decline at most % jobs at once', public.loom_limit('jobs_per_call')
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'decline in smaller batches';
  end if;
  with offer as materialized (
    select job_id as id from public.loom_ready
     where job_id = any(p_jobs) and host = v_node and offer_expires_at is not null
     order by job_id
       for update skip locked
  ),
  free as materialized (
    select id from public.loom_jobs where id = any(array(select id from offer)) order by id for no key update skip locked
  ),
  declined as (
    update public.loom_jobs as job
       set state            = 'waiting',
           target_host      = null,
           declined_by      = (array_append(job.declined_by, v_node))[greatest(1, cardinality(job.declined_by) - 18):],
           waiting_reason   = jsonb_build_object('code', 'declined', 'summary', left(p_reason, public.loom_limit('note_length')::integer))
      from free
     where job.id = any(array[free.id])
    returning job.id, job.run_id
  ),
  event as (
    insert into public.loom_event_batches (type, state, node, detail, jobs, runs)
    select 'job.declined', 'waiting', v_node, left(p_reason, public.loom_limit('note_length')::integer),
           array_agg(id order by id), array_agg(run_id order by id)
      from declined having count(*) > 0
  ),
  ready as (
    update public.loom_ready set host = null, offer_expires_at = null where job_id = any(array(select id from declined))
  )
  select coalesce(array_agg(id order by id), '{}') into v_declined from declined;
  perform public.loom_exclude_nodes(v_declined, v_node);
  return json_build_object('declined', to_json(v_declined));
end $$;

-- Excludes nodes from offers of the given jobs for a while: nodes that gave a job back
-- three times, or were lost twice while they ran it. p_node is the node that has just
-- done so; by default, the node that ran the job last.
--
-- The exclusion lasts a minute, and twice as long with each further time, up to 16
-- minutes. So a job whose only capable node is excluded is tried there again until it
-- succeeds or its crash restarts are spent. The excluded nodes are part of the job's
-- kind. So jobs without a remaining node are read apart from others and hide
-- none of them (loom_list_waiting).
--
-- The caller has locked the jobs.
create or replace function public.loom_exclude_nodes(p_jobs bigint[], p_node text default null)
  returns void
  language plpgsql
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
begin
  with job as materialized (
    select id, coalesce(p_node, ran_on) as node, declined_by || crashed_on as times,
           array(select name from unnest(declined_by) as name group by name having count(*) >= 3
                 union
                 select name from unnest(crashed_on) as name group by name having count(*) >= 2
                 order by name) as excluded
      from public.loom_jobs
     where id = any(p_jobs) and state = 'waiting'
  ),
  written as (
    update public.loom_jobs as row
       set excluded_nodes = job.excluded,
           excluded_until = clock_timestamp() + interval '1 minute'
                            * power(2, least(greatest(cardinality(array_positions(job.times, job.node)) - 3, 0), 4))
      from job
     where row.id = any(array[job.id]) and job.node = any(job.excluded)
    returning row.id, row.run_id, row.spec, row.excluded_nodes
  )
  update public.loom_ready as ready
     set kind = public.loom_kind(spec.kind, written.run_id, written.excluded_nodes)
    from written
   cross join lateral (select kind from public.loom_job_specs where id = written.spec offset 0) as spec
   where ready.job_id = any(array[written.id]);
end $$;

-- Makes pinned jobs due that their node gave back. It is called when the node starts
-- again or offers something else, because the reason may be gone. It skips locked jobs:
-- they are being claimed or cancelled.
create or replace function public.loom_retry_declined(p_node text)
  returns void
  language plpgsql
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
as $$
begin
  with delayed as materialized (
    select ready.job_id as id from public.loom_ready as ready
     where ready.host = p_node and ready.run_at > clock_timestamp() and ready.offer_expires_at is null
     order by ready.job_id
       for update skip locked
  ),
  free as materialized (
    select id from public.loom_jobs where id = any(array(select id from delayed)) order by id for no key update skip locked
  ),
  due as (
    update public.loom_jobs as job
       set run_at = clock_timestamp()
      from free
     where job.id = any(array[free.id]) and job.waiting_reason ->> 'code' = 'declined'
    returning job.id, job.run_at
  )
  update public.loom_ready as ready set run_at = due.run_at from due where ready.job_id = any(array[due.id]);
end $$;

-- Ends what was open to a node, because it offers something else now. Locked rows are skipped: somebody decides about
-- them.
create or replace function public.loom_close_jobs(p_node text)
  returns void
  language sql
  set search_path = ''
as $$
  with open as materialized (
    select job_id from public.loom_ready
     where open_to is not null and p_node = any(open_to)
     order by job_id
       for update skip locked
  )
  update public.loom_ready as ready set open_to = null, open_until = null
    from open where ready.job_id = any(array[open.job_id]);
$$;

-- Takes back a node's offers, so that they are placed again at once and not when they
-- expire: all of them, or only those with requirements. Open jobs are no longer open.
--
-- The node did not refuse them and may be offered them again, so declined_by does not
-- change. A pinned job can run nowhere else, so it stays. The function skips locked
-- offers: they are being claimed, declined or reaped.
create or replace function public.loom_return_offers(p_node text, p_demanding boolean, p_why text)
  returns integer
  language plpgsql
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
declare
  v_returned bigint[];
  v_runs     uuid[];
begin
  perform public.loom_close_jobs(p_node);
  with offer as materialized (
    select job_id as id from public.loom_ready
     where host = p_node and offer_expires_at is not null
     order by job_id
       for update skip locked
  ),
  free as materialized (
    select id from public.loom_jobs where id = any(array(select id from offer)) order by id for no key update skip locked
  ),
  returned as (
    update public.loom_jobs as job
       set state          = 'waiting',
           target_host    = null,
           waiting_reason = jsonb_build_object('code', 'offer_returned', 'summary', p_why)
      from free
     where job.id = any(array[free.id])
       and (not p_demanding or exists (
              select from public.loom_job_specs where id = job.spec and requires <> '{}' offset 0))
    returning job.id, job.run_id
  ),
  ready as (
    update public.loom_ready set host = null, offer_expires_at = null where job_id = any(array(select id from returned))
  )
  select coalesce(array_agg(id order by id), '{}'), array_agg(run_id order by id) into v_returned, v_runs from returned;
  perform public.loom_note_jobs('job.declined', 'waiting', v_returned, v_runs, null, p_node, p_why);
  return cardinality(v_returned);
end $$;
