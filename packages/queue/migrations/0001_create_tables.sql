-- The tables of Loom. Nothing but the functions in sql/ writes them; they keep
-- wrong rows out by themselves all the same.
--
-- Whatever a node or a client says (input, result, error) is stored as JSON text:
-- jsonb would refuse or rewrite some of it inside the settling transaction.

-- A Supabase project has these roles; a plain Postgres gets them without a login.
do $$
declare
  v_role text;
begin
  foreach v_role in array array['anon', 'authenticated', 'service_role'] loop
    if not exists (select from pg_roles where rolname = v_role) then
      execute format('create role %I nologin noinherit', v_role);
    end if;
  end loop;
end $$;

-- One row a machine. The table may exist already, with columns of its owner's:
-- what is missing is added, nothing is changed or removed.
do $$
begin
  if to_regclass('public.openclaw_instances') is null then
    create table public.openclaw_instances (name text primary key);
    alter table public.openclaw_instances enable row level security;
    revoke all on public.openclaw_instances from public, anon, authenticated, service_role;
  end if;
end $$;

alter table public.openclaw_instances
  add column if not exists name                 text,
  add column if not exists capabilities         text[] not null default '{}',
  add column if not exists capabilities_version integer not null default 1,
  add column if not exists slots                integer not null default 1,
  add column if not exists status               text not null default 'active',
  add column if not exists status_note          text,
  add column if not exists status_until         timestamptz,
  add column if not exists incarnation          uuid,
  add column if not exists last_heartbeat_at    timestamptz,
  add column if not exists agent_version        text,
  add column if not exists tailnet_address      text,
  add column if not exists doorbell_port        integer,
  add column if not exists facts                jsonb not null default '{}';

create unique index if not exists loom_instances_name on public.openclaw_instances (name);

-- One small, hot row a node: the lease of all it runs. Updates stay on their page.
create table public.loom_node_sessions (
  node           text primary key,
  incarnation    uuid not null,
  epoch          bigint not null default 1,
  lease_ms       integer not null check (lease_ms between 3000 and 3600000),
  expires_at     timestamptz not null,
  heartbeat_at   timestamptz not null,
  -- Only the reaper sets it: an expired lease alone takes nothing away.
  dead           boolean not null default false,
  last_claim_seq bigint not null default 0
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);

-- One row a duty that one hub at a time does.
create table public.loom_leaders (
  duty      text primary key,
  ticked_at timestamptz not null
);
insert into public.loom_leaders (duty, ticked_at) values ('reaper', clock_timestamp());

create table public.loom_runs (
  id              uuid primary key default gen_random_uuid(),
  workflow_id     text not null check (length(workflow_id) <= 100),
  version         text not null check (length(version) <= 100),
  input           text not null check (octet_length(input) <= 262144),
  status          text not null default 'running'
                  check (status in ('running', 'succeeded', 'failed', 'cancelled')),
  trigger         text not null check (trigger in ('api', 'manual', 'schedule')),
  idempotency_key text check (length(idempotency_key) between 1 and 300),
  asked_by        text check (length(asked_by) <= 300),
  created_at      timestamptz not null default clock_timestamp(),
  finished_at     timestamptz,
  constraint loom_runs_finish check ((finished_at is null) = (status = 'running')),
  constraint loom_runs_key unique (workflow_id, idempotency_key)
);

create table public.loom_job_queue (
  id                  bigint generated always as identity primary key,
  run_id              uuid not null references public.loom_runs on delete cascade,
  workflow_id         text not null,
  step_id             text not null check (length(step_id) <= 100),
  -- The steps of the same run that this one needs, how many of them have not
  -- succeeded yet, and the steps that need this one (the same edges, seen from here).
  after               text[] not null default '{}',
  waits_for           integer not null default 0 check (waits_for >= 0),
  dependents          text[] not null default '{}',

  requires            text[] not null default '{}' check (cardinality(requires) <= 64),
  prefers             jsonb not null default '[]',
  -- Equal for jobs with equal needs, so that the placing loop reads a few of each
  -- kind, however long the queue.
  requirement_key     text not null,
  host_pinned         boolean not null default false,
  target_host         text,
  priority            smallint not null default 100 check (priority between 0 and 1000),
  run_at              timestamptz not null default clock_timestamp(),

  state               text not null check (state in ('blocked', 'waiting', 'pending', 'running',
                                                      'succeeded', 'failed', 'cancelled', 'skipped')),
  waiting_reason      jsonb,
  placement           jsonb,
  offer_expires_at    timestamptz,

  attempt             integer not null default 0 check (attempt >= 0),
  max_attempts        integer not null default 1 check (max_attempts between 1 and 1000),
  crash_restarts      integer not null default 0 check (crash_restarts >= 0),
  max_crash_restarts  integer not null default 3 check (max_crash_restarts between 0 and 100),
  backoff_kind        text not null default 'exponential' check (backoff_kind in ('fixed', 'exponential')),
  backoff_ms          integer not null default 1000 check (backoff_ms >= 0),
  backoff_max_ms      integer not null default 300000 check (backoff_max_ms >= 0),
  timeout_ms          integer not null default 600000 check (timeout_ms between 1 and 2147483647),

  -- +1 with every claim; the newest one its owner settled; who owns it now.
  fence               integer not null default 0,
  settled_fence       integer not null default 0,
  claimed_by          text,
  epoch               bigint,
  claim_seq           bigint,
  claimed_at          timestamptz,
  deadline_at         timestamptz,
  -- The node of the newest claim, kept when it is over.
  ran_on              text,
  cancel_requested_at timestamptz,

  result              text check (octet_length(result) <= 1048576),
  error               text check (octet_length(error) <= 65536),
  traceparent         text check (length(traceparent) <= 200),
  created_at          timestamptz not null default clock_timestamp(),
  finished_at         timestamptz,

  constraint loom_job_blocked  check ((waits_for > 0) = (state = 'blocked') or state in ('skipped', 'cancelled')),
  constraint loom_job_owner    check ((state = 'running') = (claimed_by is not null)
                                  and (claimed_by is null) = (epoch is null)
                                  and (claimed_by is null) = (claim_seq is null)
                                  and (claimed_by is null) = (deadline_at is null)),
  constraint loom_job_target   check (case when state in ('pending', 'running') or host_pinned
                                           then target_host is not null
                                           when state in ('blocked', 'waiting') then target_host is null
                                           else true end),
  constraint loom_job_pinned   check (not (host_pinned and state = 'waiting')),
  constraint loom_job_offer    check ((offer_expires_at is not null) = (state = 'pending' and not host_pinned)),
  constraint loom_job_fence    check (settled_fence between 0 and fence),
  constraint loom_job_finish   check ((finished_at is not null) = (state in ('succeeded', 'failed', 'cancelled', 'skipped'))),
  constraint loom_job_result   check (result is null or state = 'succeeded'),
  constraint loom_job_attempts check (attempt <= max_attempts)
) with (fillfactor = 80,
        autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
        autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 20000);

create unique index loom_job_step  on public.loom_job_queue (run_id, step_id);
create index loom_job_open         on public.loom_job_queue (run_id) where finished_at is null;
create index loom_job_waiting      on public.loom_job_queue (requirement_key, priority, run_at, id) where state = 'waiting';
create index loom_job_pending      on public.loom_job_queue (target_host, priority, run_at, id) where state = 'pending';
create index loom_job_offers       on public.loom_job_queue (offer_expires_at) where offer_expires_at is not null;
create index loom_job_running      on public.loom_job_queue (claimed_by, epoch, claim_seq) where claimed_by is not null;
create index loom_job_deadline     on public.loom_job_queue (deadline_at) where deadline_at is not null;

-- Row level security without a policy: nobody reads or writes but the functions.
alter table public.loom_node_sessions enable row level security;
alter table public.loom_leaders       enable row level security;
alter table public.loom_runs          enable row level security;
alter table public.loom_job_queue     enable row level security;
revoke all on public.loom_node_sessions, public.loom_leaders, public.loom_runs, public.loom_job_queue
  from public, anon, authenticated, service_role;
