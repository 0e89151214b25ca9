-- How much is due and has not begun, and since when: by what it requires, and by the
-- node that it is offered or pinned to.
--
-- Loose index scans, as in loom_list_waiting: the cost follows the number of different
-- needs and nodes (p_kinds of each at most; 'more' says that there are others), and of
-- each no more than p_count jobs are counted, so it does not follow the queue's length.
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
  with recursive asked as (
    select least(greatest(p_kinds, 1), 1000) as kinds, least(greatest(p_count, 1), 10000) as most
  ),
  kind as materialized (
    select kind.* from asked cross join public.loom_kinds_waiting(asked.kinds + 1) with ordinality
           as kind(requirement_key, priority, number)
  ),
  place as (
    (select target_host, priority, 1 as number
       from public.loom_job_queue where state = 'pending'
      order by target_host, priority limit 1)
    union all
    select next.target_host, next.priority, place.number + 1
      from place
     cross join lateral (
       select target_host, priority
         from public.loom_job_queue
        where state = 'pending' and (target_host, priority) > (place.target_host, place.priority)
        order by target_host, priority limit 1) as next
     where place.number <= (select kinds from asked)
  ),
  waiting as (
    select first.requires, sum(due.jobs) as jobs, min(first.run_at) as since
      from kind
     cross join lateral (
       select requires, run_at from public.loom_job_queue
        where state = 'waiting' and requirement_key = kind.requirement_key and priority = kind.priority
        order by run_at, id limit 1) as first
     cross join lateral (
       select count(*) as jobs from (
         select from public.loom_job_queue
          where state = 'waiting' and requirement_key = kind.requirement_key and priority = kind.priority
            and run_at <= now()
          limit (select most from asked)) as job) as due
     where kind.number <= (select kinds from asked) and due.jobs > 0
     group by first.requires
  ),
  offered as (
    select place.target_host as node, sum(due.jobs) as jobs, min(due.since) as since
      from place
     cross join lateral (
       select count(*) as jobs, min(run_at) as since from (
         select run_at from public.loom_job_queue
          where state = 'pending' and target_host = place.target_host and priority = place.priority
            and run_at <= now()
          order by run_at
          limit (select most from asked)) as job) as due
     where place.number <= (select kinds from asked) and due.jobs > 0
     group by place.target_host
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

revoke all on function public.loom_queue_depth from public, anon, authenticated, service_role;
grant execute on function public.loom_queue_depth to service_role;
