-- Lists the different needs and priorities of waiting jobs in order, at most p_most of
-- them; all if p_most is null. A loose index scan steps from one kind to the next, so
-- the cost follows their number and not the length of the queue.
create or replace function public.loom_kinds_waiting(p_most integer default null)
  returns table (kind uuid, priority smallint)
  language plpgsql
  stable
  rows 100
  set search_path = ''
as $$
#variable_conflict use_column
begin
  return query
    with recursive kind as (
      (select ready.kind, ready.priority
         from public.loom_ready as ready where ready.host is null
        order by ready.kind, ready.priority limit 1)
      union all
      select next.kind, next.priority
        from kind
       cross join lateral (
         select ready.kind, ready.priority
           from public.loom_ready as ready
          where ready.host is null and (ready.kind, ready.priority) > (kind.kind, kind.priority)
          order by ready.kind, ready.priority limit 1) as next
    )
    select kind.kind, kind.priority from kind limit p_most;
end $$;

-- Lists the nodes and priorities of jobs that are offered or pinned to a node, in order, at most p_most of them; all if
-- p_most is null. A loose index scan, as in loom_kinds_waiting.
create or replace function public.loom_hosts_pending(p_most integer default null)
  returns table (host text, priority smallint)
  language plpgsql
  stable
  rows 100
  set search_path = ''
as $$
#variable_conflict use_column
begin
  return query
    with recursive place as (
      (select ready.host, ready.priority
         from public.loom_ready as ready where ready.host is not null
        order by ready.host, ready.priority limit 1)
      union all
      select next.host, next.priority
        from place
       cross join lateral (
         select ready.host, ready.priority
           from public.loom_ready as ready
          where ready.host is not null and (ready.host, ready.priority) > (place.host, place.priority)
          order by ready.host, ready.priority limit 1) as next
    )
    select place.host, place.priority from place limit p_most;
end $$;

-- Lists the jobs to place next, with the facts that placing scores: for each kind of
-- need (see loom_kind) and each priority, the first few that are due.
--
-- With p_job it returns the same facts for one job in any state, even if it is not due
-- or would be skipped. So an explanation reads what placing reads. The job itself does
-- not count against its key's limit.
create or replace function public.loom_list_waiting(
  p_per_kind integer default 50,
  p_job      bigint default null
)
  returns json
  language plpgsql
  stable
  security definer
  set search_path = ''
as $$
begin
  return (
    select json_build_object('jobs', coalesce(jobs, '[]'), 'reasons', reasons, 'runs', runs, 'steps', steps)
      from public.loom_read_waiting(p_per_kind, p_job));
end $$;

-- Reads what loom_list_waiting returns, in parts: they are long, and whoever needs one of them would have to parse all.
-- `jobs` is null if there are none. Facts of a run or of a step stand beside the jobs, once: joined to the jobs, they
-- would be searched for each job. The reasons why jobs wait stand apart, because a decision does not depend on them.
--
-- The cost follows the number of different needs, not the length of the queue. Jobs
-- that no node can run cannot hide later ones, and jobs with excluded nodes are a
-- separate kind (loom_exclude_nodes). A job whose concurrency key is full, counting
-- offers, is skipped: an offer would hold a slot while it waits. A key has the limit of
-- its newest job (loom_admit_jobs).
--
-- The lookups for each job are bounded: offers and running jobs of its key and of its
-- run, and the steps that it needs. The history of a step is read once a step, over the
-- last 20 finished runs of its workflow.
create or replace function public.loom_read_waiting(
  p_per_kind  integer,
  p_job       bigint,
  out jobs    json,
  out reasons json,
  out runs    json,
  out steps   json
)
  language plpgsql
  stable
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
  set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
begin
  with next as materialized (
    select job.*
      from public.loom_kinds_waiting() as kind
     cross join lateral (
       select waiting.job_id, waiting.open_until, holders.count as key_holders
         from public.loom_ready as waiting
        cross join lateral (
          select case when waiting.concurrency_key is null then 0 else (
                   select count(*) from public.loom_keyed_jobs as other
                    where other.concurrency_key = waiting.concurrency_key and other.state in ('pending', 'running')) end as count) as holders
        where waiting.host is null
          and waiting.kind = kind.kind
          and waiting.priority = kind.priority
          and waiting.run_at <= now()
          and (waiting.start_by is null or waiting.start_by > now())
          and (waiting.concurrency_key is null or holders.count < public.loom_key_limit(waiting.concurrency_key))
          and not exists (select from public.loom_paused_workflows as paused
                           where paused.workflow_id = waiting.workflow_id)
        order by waiting.run_at, waiting.job_id
        limit least(greatest(p_per_kind, 1), 500)) as job
     where p_job is null
    union all
    select p_job, null, (
             select count(*) from public.loom_keyed_jobs as other
              where other.concurrency_key = job.concurrency_key
                and other.state in ('pending', 'running') and other.job_id <> job.id)
      from public.loom_jobs as job
     where job.id = p_job
  ),
  due as materialized (
    select job.*, spec.requires, spec.prefers, spec.after, spec.concurrency_limit, next.key_holders, next.open_until
      from next
     cross join lateral (select * from public.loom_jobs where id = next.job_id offset 0) as job
     cross join lateral (select * from public.loom_job_specs where id = job.spec offset 0) as spec
  ),
  step as materialized (
    select distinct workflow_id, step_id from due where run_id is not null
  ),
  history as (
    select step.workflow_id, step.step_id, json_agg(outcome) as nodes
      from step
     cross join lateral (
       select last.ran_on as node, count(*) filter (where last.state = 'succeeded') as succeeded,
              count(*) filter (where last.state = 'failed') as failed
         from (select job.ran_on, job.state
                 from (select id from public.loom_runs
                        where workflow_id = step.workflow_id and finished_at is not null
                        order by workflow_id desc, finished_at desc limit 20) as run
                cross join lateral (
                  select ran_on, state from public.loom_jobs
                   where run_id = run.id and step_id = step.step_id and item_of is null and ran_on is not null offset 0) as job) as last
        group by last.ran_on) as outcome
     group by step.workflow_id, step.step_id
  ),
  -- Every running job is held by a session, so there are as many as nodes have slots.
  running as materialized (
    select job.run_id, count(*) as jobs
      from public.loom_node_sessions as session, unnest(session.held) as held(id)
     cross join lateral (select run_id from public.loom_jobs where id = held.id and state = 'running' offset 0) as job
     where job.run_id is not null and exists (select from due where run_id is not null)
     group by job.run_id
  ),
  run as (
    select known.run_id, coalesce(running.jobs, 0) + (
             select count(*) from public.loom_ready as offered
              where offered.run_id = known.run_id and offered.host is not null) as in_flight
      from (select distinct run_id from due where run_id is not null) as known
      left join running on running.run_id = known.run_id
  ),
  job as (
    select id, priority, run_at, waiting_reason, json_build_object(
             'id', id, 'run_id', run_id, 'workflow_id', workflow_id, 'step_id', step_id,
             'host', case when host_pinned then target_host end,
             'priority', priority, 'requires', requires, 'prefers', prefers,
             'declined_by', coalesce(declined_by, '{}'), 'crashed_on', coalesce(crashed_on, '{}'),
             -- An exclusion longer than any given means that the clock was set back
             -- since.
             'excluded', case when excluded_until > now() and excluded_until < now() + interval '17 minutes' then excluded_nodes else '{}' end,
             'excluded_until', case when excluded_until > now() and excluded_until < now() + interval '17 minutes' then excluded_until end,
             -- Not for much longer counts as not: it is opened again.
             'is_open', coalesce(open_until > now() + interval '5 seconds', false),
             'traceparent', traceparent,
             'concurrency', case when concurrency_key is not null then json_build_object(
               'key', concurrency_key, 'running', key_holders,
               'limit', coalesce(public.loom_key_limit(concurrency_key), concurrency_limit)) end,
             'ran_on', case when after = '{}' then json '[]' else (
               select coalesce(json_agg(distinct earlier.ran_on), '[]') from public.loom_jobs as earlier
                where earlier.run_id = due.run_id and earlier.step_id = any(due.after) and earlier.item_of is null
                  and earlier.ran_on is not null) end) as described
      from due
  )
  select (select json_agg(described order by priority, run_at, id) from job),
         (select coalesce(json_object_agg(id, waiting_reason) filter (where waiting_reason is not null), '{}') from job),
         (select coalesce(json_object_agg(run_id, in_flight), '{}') from run),
         (select coalesce(json_agg(json_build_object('workflow_id', workflow_id, 'step_id', step_id, 'nodes', nodes)), '[]')
            from history)
    into jobs, reasons, runs, steps;
end $$;

-- Counts the jobs that are due and have not started, with the time of the oldest: by
-- their needs, and by the node that they are offered or pinned to.
--
-- It uses loose index scans, as in loom_list_waiting. The cost follows the number of
-- different needs and nodes, at most p_kinds of each; 'more' says that there are
-- others. At most p_count jobs of each are counted, so the cost does not follow the
-- queue's length.
create or replace function public.loom_queue_depth(p_kinds integer default 200, p_count integer default 1000)
  returns json
  language sql
  stable
  security definer
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
  with asked as (
    select least(greatest(p_kinds, 1), 1000) as kinds, least(greatest(p_count, 1), 10000) as most
  ),
  kind as materialized (
    select kind.* from asked cross join public.loom_kinds_waiting(asked.kinds + 1) with ordinality
           as kind(kind, priority, number)
  ),
  place as materialized (
    select place.* from asked cross join public.loom_hosts_pending(asked.kinds + 1) with ordinality
           as place(host, priority, number)
  ),
  waiting as (
    select first.requires, sum(due.jobs) as jobs, min(first.run_at) as since
      from kind
     cross join lateral (
       select (select spec.requires from public.loom_jobs as job join public.loom_job_specs as spec on spec.id = job.spec
                where job.id = ready.job_id) as requires, ready.run_at
         from public.loom_ready as ready
        where ready.host is null and ready.kind = kind.kind and ready.priority = kind.priority
        order by ready.run_at, ready.job_id limit 1) as first
     cross join lateral (
       select count(*) as jobs from (
         select from public.loom_ready as ready
          where ready.host is null and ready.kind = kind.kind and ready.priority = kind.priority
            and ready.run_at <= now()
          limit (select most from asked)) as job) as due
     where kind.number <= (select kinds from asked) and due.jobs > 0
     group by first.requires
  ),
  offered as (
    select place.host as node, sum(due.jobs) as jobs, min(due.since) as since
      from place
     cross join lateral (
       select count(*) as jobs, min(run_at) as since from (
         select run_at from public.loom_ready
          where host = place.host and priority = place.priority
            and run_at <= now()
          order by run_at
          limit (select most from asked)) as job) as due
     where place.number <= (select kinds from asked) and due.jobs > 0
     group by place.host
  )
  select json_build_object(
    'waiting', (select coalesce(json_agg(json_build_object(
                  'requires', requires, 'jobs', jobs,
                  'oldest_ms', floor(1000 * extract(epoch from now() - since))) order by requires), '[]') from waiting),
    'offered', (select coalesce(json_agg(json_build_object(
                  'node', node, 'jobs', jobs,
                  'oldest_ms', floor(1000 * extract(epoch from now() - since))) order by node), '[]') from offered),
    'more', (select coalesce(max(number), 0) from (select number from kind union all select number from place) as seen)
            > (select kinds from asked));
$$;

-- Returns everything that explains why a job is not running, at one moment: the job,
-- the facts that placing scores, and the obstacles that do not depend on the nodes.
-- Null if the job does not exist.
create or replace function public.loom_explain_wait(p_job bigint)
  returns json
  language sql
  stable
  security definer
  set search_path = ''
as $$
  select json_build_object(
           'job', public.loom_describe_job(job),
           'waiting', public.loom_list_waiting(p_job => job.id),
           'due_in_ms', greatest(0, ceil(1000 * extract(epoch from job.run_at - now()))),
           'is_paused', exists (select from public.loom_paused_workflows as paused
                                 where paused.workflow_id = job.workflow_id),
           'open_steps', (
             select coalesce(json_agg(json_build_object('step_id', earlier.step_id, 'state', earlier.state)
                                      order by earlier.step_id), '[]')
               from public.loom_job_queue as earlier
              where earlier.run_id = job.run_id and earlier.step_id = any(job.after) and earlier.item_of is null
                and earlier.finished_at is null))
    from public.loom_job_queue as job
   where job.id = p_job;
$$;
