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
  -- The run that this one repeats, in whole or in part.
  retry_of        uuid references public.loom_runs on delete set null,
  constraint loom_runs_finish check ((finished_at is null) = (status = 'running')),
  constraint loom_runs_key unique (workflow_id, idempotency_key)
);

create domain public.loom_name              as text check (length(value) <= 100);
create domain public.loom_key               as text check (length(value) between 1 and 300);
create domain public.loom_input             as text check (octet_length(value) <= 262144);
create domain public.loom_result            as text check (octet_length(value) <= 1048576);
create domain public.loom_error             as text check (octet_length(value) <= 65536);
create domain public.loom_traceparent       as text check (length(value) <= 200);
create domain public.loom_count             as integer check (value >= 0);
create domain public.loom_requirements      as text[] check (cardinality(value) <= 64);
create domain public.loom_priority          as smallint check (value between 0 and 1000);
create domain public.loom_concurrency_key   as text check (length(value) between 1 and 200);
create domain public.loom_concurrency_limit as integer check (value between 1 and 10000);
create domain public.loom_job_state         as text check (value in ('blocked', 'waiting', 'pending', 'running',
                                                                      'succeeded', 'failed', 'cancelled', 'skipped'));
create domain public.loom_attempts          as integer check (value between 1 and 1000);
create domain public.loom_restarts          as integer check (value between 0 and 100);
create domain public.loom_backoff_kind      as text check (value in ('fixed', 'exponential'));
create domain public.loom_backoff_ms        as integer check (value >= 0);
create domain public.loom_timeout_ms        as integer check (value >= 1);
create domain public.loom_start_within_ms   as integer check (value between 1 and 2147483647);

create table public.loom_job_queue (
  id                  bigint generated always as identity primary key,
  -- A step of a run, or (without one) a job of its own, with its input in payload.
  run_id              uuid references public.loom_runs on delete cascade,
  workflow_id         public.loom_name not null,
  step_id             public.loom_name not null,
  key                 public.loom_key,
  payload             public.loom_input,
  -- The steps of the same run that this one needs, how many of them have not
  -- succeeded yet, and the steps that need this one (the same edges, seen from here).
  after               text[] not null default '{}',
  waits_for           public.loom_count not null default 0,
  dependents          text[] not null default '{}',

  requires            public.loom_requirements not null default '{}',
  prefers             jsonb not null default '[]',
  -- Equal for jobs with equal needs, so that the placing loop reads a few of each
  -- kind, however long the queue.
  requirement_key     text not null,
  host_pinned         boolean not null default false,
  target_host         text,
  priority            public.loom_priority not null default 100,
  run_at              timestamptz not null default clock_timestamp(),
  -- How long after it is ready it is still worth starting, and what that comes to.
  start_within_ms     public.loom_start_within_ms,
  start_by            timestamptz,
  -- At most concurrency_limit jobs of one key run at a time.
  concurrency_key     public.loom_concurrency_key,
  concurrency_limit   public.loom_concurrency_limit,

  state               public.loom_job_state not null,
  waiting_reason      jsonb,
  placement           jsonb,
  offer_expires_at    timestamptz,
  -- Nodes that gave the job back unstarted, newest last.
  declined_by         text[] not null default '{}',

  attempt             public.loom_count not null default 0,
  max_attempts        public.loom_attempts not null default 1,
  crash_restarts      public.loom_count not null default 0,
  max_crash_restarts  public.loom_restarts not null default 3,
  backoff_kind        public.loom_backoff_kind not null default 'exponential',
  backoff_ms          public.loom_backoff_ms not null default 1000,
  backoff_max_ms      public.loom_backoff_ms not null default 300000,
  timeout_ms          public.loom_timeout_ms not null default 600000,

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

  result              public.loom_result,
  error               public.loom_error,
  traceparent         public.loom_traceparent,
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
  constraint loom_job_attempts check (attempt <= max_attempts),
  constraint loom_job_payload  check ((run_id is null) = (payload is not null)),
  constraint loom_job_limit    check ((concurrency_key is null) = (concurrency_limit is null))
) with (fillfactor = 80,
        autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
        autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 20000);

create unique index loom_job_step  on public.loom_job_queue (run_id, step_id) where run_id is not null;
create unique index loom_job_key   on public.loom_job_queue (workflow_id, key) where key is not null;
create index loom_job_open         on public.loom_job_queue (run_id) where run_id is not null and finished_at is null;
create index loom_job_waiting      on public.loom_job_queue (requirement_key, priority, run_at, id) where state = 'waiting';
create index loom_job_pending      on public.loom_job_queue (target_host, priority, run_at, id) where state = 'pending';
create index loom_job_offers       on public.loom_job_queue (offer_expires_at) where offer_expires_at is not null;
create index loom_job_running      on public.loom_job_queue (claimed_by, epoch, claim_seq) where claimed_by is not null;
create index loom_job_limited      on public.loom_job_queue (concurrency_key) where concurrency_key is not null and claimed_by is not null;
create index loom_job_start_by     on public.loom_job_queue (start_by) where start_by is not null and state in ('waiting', 'pending');
create index loom_job_finished     on public.loom_job_queue (finished_at) where run_id is null and finished_at is not null;
create index loom_run_retry        on public.loom_runs (retry_of) where retry_of is not null;
create index loom_run_finished     on public.loom_runs (finished_at) where finished_at is not null;

-- One row a concurrency key, only to be locked: how many run is counted, never stored.
create table public.loom_concurrency_keys (
  key text primary key
);

-- Workflows whose jobs are neither placed nor claimed.
create table public.loom_paused_workflows (
  workflow_id text primary key,
  note        text check (length(note) <= 2000),
  paused_at   timestamptz not null default clock_timestamp()
);

-- What happened, in the order of (xid, id): written by the transaction that did it.
-- A reader goes only as far as the oldest transaction that is still open, so a row
-- that commits late is not missed. Never updated; old rows are removed in batches.
create table public.loom_events (
  xid    xid8 not null default pg_current_xact_id(),
  id     bigint generated always as identity,
  at     timestamptz not null default clock_timestamp(),
  type   text not null,
  run_id uuid,
  job_id bigint,
  -- The state after it, of the job or, where there is none, of the run.
  state  text,
  node   text,
  epoch  bigint,
  fence  integer,
  detail text,
  primary key (xid, id)
) with (autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 100000);

-- Output of attempts. A chunk is identified by where it begins, so that appending
-- it again after a lost answer changes nothing.
create table public.loom_job_logs (
  job_id     bigint not null references public.loom_job_queue on delete cascade,
  fence      integer not null,
  start      integer not null check (start >= 0),
  chunk      text not null check (octet_length(chunk) between 1 and 262144),
  created_at timestamptz not null default clock_timestamp(),
  primary key (job_id, fence, start)
);

-- Row level security without a policy: nobody reads or writes but the functions.
alter table public.loom_node_sessions enable row level security;
alter table public.loom_leaders       enable row level security;
alter table public.loom_runs          enable row level security;
alter table public.loom_job_queue     enable row level security;
alter table public.loom_concurrency_keys enable row level security;
alter table public.loom_paused_workflows enable row level security;
alter table public.loom_events        enable row level security;
alter table public.loom_job_logs      enable row level security;
revoke all on public.loom_node_sessions, public.loom_leaders, public.loom_runs, public.loom_job_queue,
              public.loom_concurrency_keys, public.loom_paused_workflows, public.loom_events, public.loom_job_logs
  from public, anon, authenticated, service_role;
