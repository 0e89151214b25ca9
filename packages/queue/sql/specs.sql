-- Returns the ids of specifications, in their order; new ones are stored. Each is an object: {"workflow", "step",
-- "after", "dependents", "requires", "prefers", "priority", "start_within_ms", "timeout_ms", "max_attempts",
-- "max_crash_restarts", "backoff_kind", "backoff_ms", "backoff_max_ms", "concurrency_limit", "runs_after", "optional",
-- "cascades", "has_condition", "map", "wait"}.
--
-- A row is never changed, so equal texts have one row, and two calls that add it at once agree on it. Only one that was
-- not used for a day is written again: loom_prune removes what nobody has used for longer, and cannot take away what
-- this call has just found.
create or replace function public.loom_intern_specs(p_specs json)
  returns integer[]
  language plpgsql
  set search_path = ''
as $$
declare
  v_ids integer[];
begin
  if json_typeof(p_specs) is distinct from 'array' or json_array_length(p_specs) not between 1 and public.loom_limit('steps')
     or exists (select from json_array_elements(p_specs) as e where json_typeof(e) <> 'object') then
    raise exception 'specifications are an array of 1 to % objects', public.loom_limit('steps')
      using errcode = 'PT400', detail = 'INVALID_ARGUMENT', hint = 'use one version of Loom';
  end if;
  v_ids := array(
    select known.id
      from json_array_elements(p_specs) with ordinality as given(spec, ord)
     cross join lateral (
       select id from public.loom_job_specs
        where digest = sha256(convert_to(given.spec::text, 'UTF8'))
          and used_at > clock_timestamp() - interval '1 day' offset 0) as known
     order by given.ord);
  if cardinality(v_ids) = json_array_length(p_specs) then
    return v_ids;
  end if;

  -- In one order, so that two calls cannot deadlock.
  insert into public.loom_job_specs as known (
    digest, workflow_id, step_id, after, dependents, requires, prefers, kind, priority, start_within_ms, timeout_ms,
    max_attempts, max_crash_restarts, backoff_kind, backoff_ms, backoff_max_ms, concurrency_limit,
    runs_after, is_optional, cascades, has_condition, map, wait)
  select distinct on (given.digest)
         given.digest, spec.workflow, spec.step, coalesce(spec.after, '{}'), coalesce(spec.dependents, '{}'),
         coalesce(spec.requires, '{}'), coalesce(spec.prefers, '[]'),
         md5(concat_ws(e'\n', spec.workflow, coalesce(spec.requires, '{}'), coalesce(spec.prefers, '[]')))::uuid,
         coalesce(spec.priority, 100), spec.start_within_ms, coalesce(spec.timeout_ms, 600000),
         coalesce(spec.max_attempts, 1), coalesce(spec.max_crash_restarts, 3),
         coalesce(spec.backoff_kind, 'exponential'), coalesce(spec.backoff_ms, 1000), coalesce(spec.backoff_max_ms, 300000),
         spec.concurrency_limit, coalesce(spec.runs_after, 'success'), coalesce(spec.optional, false), coalesce(spec.cascades, false),
         coalesce(spec.has_condition, false), spec.map, spec.wait
    from (select e as text, sha256(convert_to(e::text, 'UTF8')) as digest from json_array_elements(p_specs) as e) as given
   cross join lateral json_to_record(given.text) as spec(
           workflow text, step text, after text[], dependents text[], requires text[], prefers jsonb, priority smallint,
           start_within_ms integer, timeout_ms integer, max_attempts integer, max_crash_restarts integer,
           backoff_kind text, backoff_ms integer, backoff_max_ms integer, concurrency_limit integer,
           runs_after text, optional boolean, cascades boolean, has_condition boolean, map jsonb, wait jsonb)
   order by given.digest
  on conflict (digest) do update set used_at = clock_timestamp();
  return array(
    select known.id
      from json_array_elements(p_specs) with ordinality as given(spec, ord)
     cross join lateral (
       select id from public.loom_job_specs where digest = sha256(convert_to(given.spec::text, 'UTF8')) offset 0) as known
     order by given.ord);
end $$;

-- Returns the kind of a job: jobs of one kind are read together by placing, a few at a time and oldest first. They are
-- jobs of one workflow with equal needs (the specification's kind) in one of nine lanes. Jobs without a run have their
-- own lane, and runs share eight. So ten thousand jobs that were added at once hide no run, and a run of ten thousand
-- steps hides one in eight of the same workflow's later runs. There are at most nine kinds for each set of needs.
--
-- The nodes that a job is excluded from are part of its needs (loom_exclude_nodes).
create or replace function public.loom_kind(p_spec_kind uuid, p_run uuid default null, p_excluded text[] default null)
  returns uuid
  language plpgsql
  immutable
  set search_path = ''
as $$
begin
  return (
    select case when p_run is null and p_excluded is null then p_spec_kind
                else md5(concat_ws(e'\n', p_spec_kind, get_byte(uuid_send(p_run), 15) % 8, p_excluded))::uuid end);
end $$;

-- Adds the rows of jobs that have just become waiting or pending to loom_ready. The caller has locked the jobs.
-- p_repeats: they may repeat other jobs, and have their checkpoints.
create or replace function public.loom_make_ready(p_jobs bigint[], p_repeats boolean default false)
  returns void
  language plpgsql
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
begin
  insert into public.loom_ready (job_id, run_at, start_by, run_id, kind, priority, host, is_wide, has_checkpoint, workflow_id, concurrency_key)
  select job.id, job.run_at, job.start_by, job.run_id, public.loom_kind(spec.kind, job.run_id, job.excluded_nodes), job.priority,
         job.target_host, job.payload is null or job.run_id is not null,
         case when p_repeats or job.fence > 0 then exists (select from public.loom_checkpoints where job_id = job.id) else false end, job.workflow_id, job.concurrency_key
    from public.loom_jobs as job
   cross join lateral (select kind from public.loom_job_specs where id = job.spec offset 0) as spec
   where job.id = any(p_jobs) and job.state in ('waiting', 'pending')
   order by job.id;
end $$;

-- Whether each of the texts is JSON that every reader can parse (loom_is_json). The cast parses them one by one in a
-- single call of Postgres. The depth is at most the number of opening brackets in all of them.
create or replace function public.loom_are_json(p_texts text[])
  returns boolean
  language plpgsql
  immutable
  set search_path = ''
as $$
declare
  v_all text := array_to_string(p_texts, '');
begin
  perform p_texts::json[];
  if length(v_all) - length(translate(v_all, '[{', '')) <= public.loom_limit('json_depth') then
    return true;
  end if;
  return (select bool_and(public.loom_is_json(text)) from unnest(p_texts) as text where text is not null);
exception
  when data_exception or program_limit_exceeded then
    return false;
end $$;

-- Adds events about jobs, one for each. p_fences and p_runs are in the order of p_jobs; p_runs may be null if none has
-- a run. A row of loom_event_batches has room for 16384; a statement that writes such rows itself and may have more jobs
-- groups them by id / 10000 too.
create or replace function public.loom_note_jobs(
  p_type text, p_state text, p_jobs bigint[], p_runs uuid[],
  p_fences integer[] default null, p_node text default null, p_detail text default null
)
  returns void
  language sql
  set search_path = ''
as $$
  insert into public.loom_event_batches (type, state, node, detail, jobs, runs, fences)
  select p_type, p_state, p_node, p_detail, p_jobs[start:start + 9999], p_runs[start:start + 9999], p_fences[start:start + 9999]
    from generate_series(1, cardinality(p_jobs), 10000) as start;
$$;
