-- What placing weighs, and two guards that cost less than those before.

-- Nodes that were lost while they ran the job, newest last, one entry each time.
alter table public.loom_job_queue add column crashed_on text[] not null default '{}';

-- Incarnations that a newer one has superseded, newest first: a hello of theirs that
-- arrives late is known for what it is.
alter table public.loom_node_sessions add column past_incarnations uuid[] not null default '{}';

-- A fixed number of rows to lock, each for the concurrency keys that hash to it, in
-- place of one row a key that nobody could safely remove. Two keys that share one only
-- wait for each other.
drop table public.loom_concurrency_keys;
create table public.loom_concurrency_locks (
  bucket smallint primary key
);
insert into public.loom_concurrency_locks select generate_series(0, 255);
alter table public.loom_concurrency_locks enable row level security;
revoke all on public.loom_concurrency_locks from public, anon, authenticated, service_role;

-- What holds a concurrency key's places: running jobs, and offers, which will soon.
drop index public.loom_job_limited;
create index loom_job_limited on public.loom_job_queue (concurrency_key, state)
  where concurrency_key is not null and state in ('pending', 'running');

-- How a step fared lately, node by node; and how many of a run's steps have a node now.
create index loom_job_history on public.loom_job_queue (workflow_id, step_id, finished_at)
  where run_id is not null and finished_at is not null and ran_on is not null;
create index loom_job_in_flight on public.loom_job_queue (run_id)
  where run_id is not null and state in ('pending', 'running');
