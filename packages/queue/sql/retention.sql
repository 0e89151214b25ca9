-- For how long finished runs are kept: as their workflow says, else as the hub says.

-- Stores what the workflows of the leading hub say. p_policies: [{"workflow", "succeeded_ms", "failed_ms"}, …], null where
-- a workflow says nothing. A workflow that is not named keeps its policy: its file may be broken at the moment.
create or replace function public.loom_set_retention(p_policies json)
  returns void
  language sql
  set search_path = ''
as $$
  with given as (
    select * from json_to_recordset(p_policies) as t(workflow text, succeeded_ms bigint, failed_ms bigint)
     where length(workflow) <= public.loom_limit('name_length')
  ),
  gone as (
    delete from public.loom_retention as policy
     where workflow_id in (select workflow from given where succeeded_ms is null and failed_ms is null)
  )
  insert into public.loom_retention as policy (workflow_id, succeeded_ms, failed_ms)
  select workflow, succeeded_ms, failed_ms from given
   where succeeded_ms is not null or failed_ms is not null
   -- In one order, so that two calls cannot deadlock.
   order by workflow
  on conflict (workflow_id) do update
     set succeeded_ms = excluded.succeeded_ms, failed_ms = excluded.failed_ms, pruned_to = '-infinity'
   where (policy.succeeded_ms, policy.failed_ms) is distinct from (excluded.succeeded_ms, excluded.failed_ms);
$$;

-- Locks and returns at most p_limit runs that were finished for longer than they are kept, and whether there may be more.
--
-- Each workflow is looked at by itself, so the cost follows the number of workflows and of runs that go, and not the
-- number of runs that stay. Where successes are kept for another time than failures, the runs between the two times are
-- a mixture: each is looked at once, and pruned_to is how far that went. Runs that are locked are left for the next call.
create or replace function public.loom_lock_old_runs(p_keep_days integer, p_limit integer, out runs uuid[], out has_more boolean)
  language plpgsql
  set search_path = ''
  set enable_seqscan = off
  set enable_bitmapscan = off
as $$
declare
  v_now      timestamptz := clock_timestamp();
  v_default  bigint := p_keep_days * 86400000::bigint;
  v_workflow text := (select min(workflow_id) from public.loom_runs);
  v_policy   public.loom_retention;
  v_short    timestamptz;
  v_long     timestamptz;
  v_goes     text[];
  v_found    uuid[];
  v_locked   uuid[];
  v_seen     integer;
  v_last     timestamptz;
begin
  runs := '{}';
  has_more := false;
  while v_workflow is not null and cardinality(runs) < p_limit loop
    select * into v_policy from public.loom_retention where workflow_id = v_workflow;
    v_policy.succeeded_ms := coalesce(v_policy.succeeded_ms, v_default);
    v_policy.failed_ms := coalesce(v_policy.failed_ms, v_default);
    v_long := v_now - greatest(v_policy.succeeded_ms, v_policy.failed_ms) * interval '1 millisecond';
    v_short := v_now - least(v_policy.succeeded_ms, v_policy.failed_ms) * interval '1 millisecond';
    -- Whatever the status.
    runs := runs || array(
      select id from public.loom_runs
       where workflow_id = v_workflow and finished_at < v_long
       order by workflow_id, finished_at
       limit p_limit - cardinality(runs)
         for update skip locked);
    if v_short > v_long and cardinality(runs) < p_limit then
      v_goes := case when v_policy.succeeded_ms < v_policy.failed_ms then '{succeeded}' else '{failed,cancelled}' end;
      select coalesce(array_agg(id) filter (where status = any(v_goes)), '{}'), count(*), max(finished_at)
        into v_found, v_seen, v_last
        from (select id, status, finished_at from public.loom_runs
               where workflow_id = v_workflow and finished_at >= greatest(v_long, v_policy.pruned_to) and finished_at < v_short
               order by workflow_id, finished_at
               limit 10 * p_limit) as seen;
      v_locked := array(
        select id from public.loom_runs where id = any(v_found) order by finished_at
         limit p_limit - cardinality(runs)
           for update skip locked);
      runs := runs || v_locked;
      if cardinality(v_locked) = cardinality(v_found) and v_seen > 0 then
        -- The last moment is looked at again, in case the limit fell into it; unless it was all that was seen.
        update public.loom_retention
           set pruned_to = case when v_seen = 10 * p_limit and v_last <= pruned_to then v_last + interval '1 microsecond' else v_last end
         where workflow_id = v_workflow;
        has_more := has_more or v_seen = 10 * p_limit;
      end if;
    end if;
    v_workflow := (select min(workflow_id) from public.loom_runs where workflow_id > v_workflow);
  end loop;
  has_more := has_more or cardinality(runs) >= p_limit;
end $$;
