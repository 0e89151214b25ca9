-- The tables of Loom. Only the functions in sql/ write them. Tables that are written seldom
-- also refuse invalid rows themselves; of the others, loom_verify tests the invariants.
--
-- Values of a node or a client (input, result, error) are stored as JSON text. jsonb
-- would refuse or rewrite some of them inside the settling transaction.

-- A Supabase project has these roles. On a plain Postgres they are created without a
-- login.
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

-- One row a machine. The table may already exist, with other columns of its owner.
-- Missing columns are added; nothing is changed or removed.
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
  add column if not exists wake_port        integer,
  add column if not exists facts                jsonb not null default '{}';

create unique index if not exists loom_instances_name on public.openclaw_instances (name);

-- One small row a node, which changes often: the lease of everything that it runs. It
-- has few columns, so that updates stay on their page.
create table public.loom_node_sessions (
  node           text primary key,
  incarnation    uuid not null,
  epoch          bigint not null default 1,
  lease_ms       integer not null check (lease_ms between 3000 and 3600000),
  expires_at     timestamptz not null,
  heartbeat_at   timestamptz not null,
  -- Set only by the reaper. An expired lease alone takes nothing away.
  dead           boolean not null default false,
  last_claim_seq bigint not null default 0,
  -- The jobs that the node runs are among these: a claim adds to them and leaves out those that have ended. The
  -- job's own row says whether it runs.
  held           bigint[] not null default '{}',
  -- No held job is overdue before this time.
  deadline_at    timestamptz
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);

-- One row for each duty that one hub at a time does.
create table public.loom_leaders (
  duty      text primary key,
  ticked_at timestamptz not null
);
insert into public.loom_leaders (duty, ticked_at) values ('reaper', clock_timestamp()), ('waits', clock_timestamp());

-- Written often, so only the functions check its values: a CHECK is parsed anew for every statement.
create table public.loom_runs (
  id              uuid primary key default gen_random_uuid(),
  workflow_id     text not null,
  version         text not null,
  input           text not null,
  status          text not null default 'running',
  trigger         text not null,
  idempotency_key text,
  asked_by        text,
  created_at      timestamptz not null default clock_timestamp(),
  finished_at     timestamptz,
  -- The steps that have not ended. Changed under the row's lock, so the last step to end finds 0.
  open_steps      integer not null default 0,
  -- The run that this run repeats, in whole or in part.
  retry_of        uuid references public.loom_runs on delete set null,
  constraint loom_runs_key unique (workflow_id, idempotency_key)
) with (fillfactor = 80);

create domain public.loom_name              as text check (length(value) <= 100);
create domain public.loom_key               as text check (length(value) between 1 and 300);
create domain public.loom_input             as text check (octet_length(value) <= 262144);
create domain public.loom_requirements      as text[] check (cardinality(value) <= 64);
create domain public.loom_priority          as smallint check (value between 0 and 1000);
create domain public.loom_concurrency_limit as integer check (value between 1 and 10000);
create domain public.loom_attempts          as integer check (value between 1 and 1000);
create domain public.loom_restarts          as integer check (value between 0 and 100);
create domain public.loom_backoff_kind      as text check (value in ('fixed', 'exponential'));
create domain public.loom_backoff_ms        as integer check (value >= 0);
create domain public.loom_timeout_ms        as integer check (value >= 1);
create domain public.loom_runs_after         as text check (value in ('success', 'failure', 'always'));
create domain public.loom_start_within_ms   as integer check (value between 1 and 2147483647);

create type public.loom_job_state as enum
  ('blocked', 'suspended', 'mapping', 'waiting', 'pending', 'running', 'succeeded', 'failed', 'cancelled', 'skipped');

-- What many jobs have in common, written once and never changed: all that a step or a job says of itself beside its
-- run, its input and its node. It is found by the digest of the text that described it.
create table public.loom_job_specs (
  id                 integer generated always as identity primary key,
  digest             bytea not null unique,
  workflow_id        public.loom_name not null,
  step_id            public.loom_name not null,
  -- The steps of the same run that this step needs, and those that need it.
  after              text[] not null default '{}',
  dependents         text[] not null default '{}',
  -- How those must have ended for it to run; whether its own failure passes, and its being skipped does not
  -- (docs/forms.md).
  runs_after         public.loom_runs_after not null default 'success',
  is_optional        boolean not null default false,
  cascades           boolean not null default false,
  -- Whether a function of its author decides if it runs, or what it waits for.
  has_condition      boolean not null default false,
  requires           public.loom_requirements not null default '{}',
  prefers            jsonb not null default '[]',
  -- Equal for specifications with equal needs (loom_kind).
  kind               uuid not null,
  priority           public.loom_priority not null default 100,
  -- How long the job is worth starting after it becomes ready.
  start_within_ms    public.loom_start_within_ms,
  timeout_ms         public.loom_timeout_ms not null default 600000,
  max_attempts       public.loom_attempts not null default 1,
  max_crash_restarts public.loom_restarts not null default 3,
  backoff_kind       public.loom_backoff_kind not null default 'exponential',
  backoff_ms         public.loom_backoff_ms not null default 1000,
  backoff_max_ms     public.loom_backoff_ms not null default 300000,
  -- At most concurrency_limit jobs of a key run at a time.
  concurrency_limit  public.loom_concurrency_limit,
  -- Of a step that has a job for each item of a list: {"step", "path", "key", "concurrency", "tolerate"} (maps.sql).
  map                jsonb,
  -- Of a step that no node runs: what it waits for, as {"kind", ...} (waits.sql).
  wait               jsonb,
  -- When a job with it was last added, within a day.
  used_at            timestamptz not null default clock_timestamp()
);

-- Where each job stands. Claiming and settling change only columns that no index has, so Postgres writes the new
-- version beside the old one and touches no index (HOT); the free space of each page is for that. What is to be found
-- by state is in the small tables below. No CHECK: see loom_runs.
create table public.loom_jobs (
  id                  bigint generated always as identity primary key,
  created_at          timestamptz not null default clock_timestamp(),
  -- Due from here on.
  run_at              timestamptz not null,
  -- A step of a run. Without a run it is a single job, with an input of its own.
  run_id              uuid,
  -- The step that this job is an item of, and its place in the list, from 0. Such a job has its item as its input.
  item_of             bigint,
  item_index          integer,
  spec                integer not null,
  -- Rises by 1 with every claim; the newest fence that its owner settled.
  fence               integer not null default 0,
  settled_fence       integer not null default 0,
  attempt             integer not null default 0,
  state               public.loom_job_state not null,
  priority            smallint not null,
  crash_restarts      smallint not null default 0,
  host_pinned         boolean not null default false,
  -- Whether one of its needs failed, and whether one was skipped with all that follows it (loom_outcome).
  need_failed         boolean not null default false,
  need_skipped        boolean not null default false,
  workflow_id         text not null,
  step_id             text not null,
  target_host         text,
  -- The node of the newest claim, kept when the claim is over; and its session and number.
  ran_on              text,
  epoch               bigint,
  claim_seq           bigint,
  claimed_at          timestamptz,
  finished_at         timestamptz,
  -- The steps that it needs and that have not ended yet.
  waits_for           integer,
  -- Why it was skipped: need_failed, need_skipped, nothing_failed, condition.
  skip_reason         text,
  -- The time until which it is worth starting. Null once it has started.
  start_by            timestamptz,
  cancel_requested_at timestamptz,
  key                 text,
  concurrency_key     text,
  traceparent         text,
  -- The input of a single job or an item. A long one is in loom_job_details: this row is written several times.
  payload             text,
  waiting_reason      jsonb,
  -- The nodes that gave the job back before they started it, and those that were lost while they ran it: newest last,
  -- one entry each time.
  declined_by         text[],
  crashed_on          text[],
  -- Nodes that it is not placed on until excluded_until, because they are in those lists too often.
  excluded_nodes      text[],
  excluded_until      timestamptz,
  result              text,
  error               text
) with (fillfactor = 45,
        autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 50000,
        autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 20000);
-- Whoever looks for the steps of a run says that items are none of them: this index has no items.
create unique index loom_job_step on public.loom_jobs (run_id, step_id) where run_id is not null and item_of is null;
create unique index loom_job_item on public.loom_jobs (item_of, item_index) where item_of is not null;
create unique index loom_job_key  on public.loom_jobs (workflow_id, key) where key is not null;
create index loom_run_retry       on public.loom_runs (retry_of) where retry_of is not null;
create index loom_run_finished    on public.loom_runs (finished_at) where finished_at is not null;
-- The last runs of a workflow, for the outcomes of its steps on each node.
create index loom_run_history     on public.loom_runs (workflow_id, finished_at) where finished_at is not null;

-- What of a job is wide and seldom read.
create table public.loom_job_details (
  job_id    bigint primary key,
  -- The input of a single job or an item, when it is longer than 256 bytes.
  payload   text,
  -- Why it was offered to its node.
  placement jsonb
);

-- What a job's attempts keep for the next one (checkpoints.sql).
create table public.loom_checkpoints (
  job_id   bigint primary key,
  -- The claim that wrote it, and which of its checkpoints it is. Both 0: taken over from a job that this one repeats.
  fence    integer not null,
  seq      integer not null,
  value    text not null,
  saved_at timestamptz not null default clock_timestamp()
) with (fillfactor = 50);

-- One row for each step that maps over a list, from the end of its needs on: its items, counted under the lock of its
-- run. Items are made and released in the order of the list.
create table public.loom_maps (
  job_id       bigint primary key,
  -- Whether a hub has to make items (loom_expand_maps).
  is_due       boolean not null default true,
  -- The items of the list, and how many of them may fail. Null until the list has been read.
  total        integer,
  tolerated    integer,
  -- The items that have a job; those that have been ready, in the order of the list; those of them that have not ended.
  made         integer not null default 0,
  released     integer not null default 0,
  active       integer not null default 0,
  succeeded    integer not null default 0,
  failed       integer not null default 0,
  cancelled    integer not null default 0,
  -- The results of items, together.
  result_bytes bigint not null default 0,
  -- The nodes that items have ended on.
  nodes        text[] not null default '{}',
  -- The same step of the run that this run repeats: its items that succeeded are taken over.
  items_of     bigint
) with (fillfactor = 50);
create index loom_map_due on public.loom_maps (job_id) where is_due;

-- One narrow row for each job that is waiting or pending. It is inserted when the job becomes ready and deleted
-- when a node claims it. host is the job's target_host: null while it waits to be placed.
create table public.loom_ready (
  job_id           bigint primary key,
  run_at           timestamptz not null,
  start_by         timestamptz,
  -- Null for a job that is pinned to its node.
  offer_expires_at timestamptz,
  run_id           uuid,
  -- Equal for jobs that placing reads together (loom_kind).
  kind             uuid not null,
  priority         smallint not null,
  host             text,
  -- Whether more than a short input comes with it: a run's input, results of other steps, a long input.
  is_wide          boolean not null,
  -- Whether a checkpoint comes with it.
  has_checkpoint   boolean not null default false,
  workflow_id      text not null,
  concurrency_key  text,
  -- While all nodes that may take it are full, it is open to them: whichever has a free slot first claims it without an
  -- offer, until open_until. Null for a job that has an offer.
  open_to          text[],
  open_until       timestamptz
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
        autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 20000);
create index loom_ready_due      on public.loom_ready (host, priority, run_at, job_id) where host is not null;
create index loom_ready_waiting  on public.loom_ready (kind, priority, run_at, job_id) where host is null;
create index loom_ready_offers   on public.loom_ready (offer_expires_at) where offer_expires_at is not null;
create index loom_ready_open     on public.loom_ready (priority, open_until) where open_to is not null;
create index loom_ready_start_by on public.loom_ready (start_by) where start_by is not null;
create index loom_ready_run      on public.loom_ready (run_id) where run_id is not null and host is not null;

-- One row for each suspended job. No row is written while it waits.
create table public.loom_suspended (
  job_id  bigint primary key,
  -- condition: a hub has to call a function of its author (conditions.sql). sleep, signal, approval: what it waits for
  -- (waits.sql).
  kind    text not null,
  -- When a hub may take it, or end its wait. Each take of a condition raises the fence, and puts this off.
  due_at  timestamptz not null,
  fence   integer not null default 0,
  -- Of a wait: when it ends by itself. Null: never.
  ends_at timestamptz,
  -- Of a wait for a signal; '' is no key.
  event   text,
  key     text,
  -- The signal that has come, while a hub has to check it with the step's schema.
  payload text
);
create index loom_suspended_due   on public.loom_suspended (kind, due_at);
create index loom_suspended_event on public.loom_suspended (event, key, job_id) where event is not null;

-- Signals that no step has got yet. A new one is looked at once (loom_end_waits), and kept then if no step waits for it.
create table public.loom_signals (
  id      bigint generated always as identity primary key,
  event   text not null,
  key     text not null,
  payload text not null,
  sent_by text,
  sent_at timestamptz not null default clock_timestamp(),
  is_new  boolean not null default true,
  -- Whether a step has got it, while there may be more that wait for it.
  is_used boolean not null default false
);
create index loom_signal_new  on public.loom_signals (id) where is_new;
create index loom_signal_kept on public.loom_signals (event, key, id);
create index loom_signal_age  on public.loom_signals (sent_at);

-- One row for each step that has asked for an approval: what was shown, and what became of it.
create table public.loom_approvals (
  job_id     bigint primary key,
  state      text not null default 'pending'
             check (state in ('pending', 'approved', 'rejected', 'timed_out', 'cancelled')),
  -- JSON, or null.
  shown      text,
  -- Of everything that was shown. A decision names it.
  digest     text not null,
  asked_at   timestamptz not null,
  expires_at timestamptz,
  decided_at timestamptz,
  -- Null: the time ran out.
  decided_by text,
  note       text,
  -- JSON.
  input      text,
  constraint loom_approval_decided check ((state = 'pending') = (decided_at is null))
);
create index loom_approval_pending on public.loom_approvals (job_id) where state = 'pending';

-- One row for each unfinished job that has a concurrency key. A trigger keeps it (loom_follow_key).
create table public.loom_keyed_jobs (
  job_id            bigint primary key,
  concurrency_key   text not null,
  concurrency_limit integer not null,
  state             public.loom_job_state not null
);
-- The newest unfinished job of a key has the key's limit.
create index loom_keyed_newest  on public.loom_keyed_jobs (concurrency_key, job_id);
create index loom_keyed_holders on public.loom_keyed_jobs (concurrency_key, state) where state in ('pending', 'running');

-- A trigger, because a job with a key is rare and every function changes states. Jobs without a key never call it. The
-- comment keeps the migration script from replacing it: the trigger would go with it.
create function public.loom_follow_key() returns trigger language plpgsql security definer set search_path = '' as $trigger$
begin
  if new.finished_at is not null then
    delete from public.loom_keyed_jobs where job_id = new.id;
  else
    insert into public.loom_keyed_jobs (job_id, concurrency_key, concurrency_limit, state)
    select new.id, new.concurrency_key, spec.concurrency_limit, new.state
      from public.loom_job_specs as spec where spec.id = new.spec
    on conflict (job_id) do update set state = excluded.state;
  end if;
  return null;
end $trigger$;
revoke all on function public.loom_follow_key from public, anon, authenticated, service_role;
comment on function public.loom_follow_key is 'Loom, with its table';
create trigger loom_follow_key after insert or update of state on public.loom_jobs
  for each row when (new.concurrency_key is not null) execute function public.loom_follow_key();

-- A job with everything about it, for people and for the functions that read.
create view public.loom_job_queue with (security_invoker = true) as
  select job.id, job.run_id, job.item_of, job.item_index, job.workflow_id, job.step_id, job.target_host,
         job.state::text as state, job.key, spec.map, spec.wait,
         coalesce(job.payload, detail.payload) as payload,
         spec.after, coalesce(job.waits_for, 0) as waits_for, spec.dependents, spec.runs_after, spec.is_optional, spec.cascades, spec.has_condition,
         job.skip_reason, spec.requires, spec.prefers,
         job.host_pinned, job.priority, job.run_at, spec.start_within_ms, job.start_by, job.concurrency_key,
         case when job.concurrency_key is not null then spec.concurrency_limit end as concurrency_limit,
         job.waiting_reason, detail.placement, ready.offer_expires_at, ready.kind,
         coalesce(job.declined_by, '{}') as declined_by, coalesce(job.crashed_on, '{}') as crashed_on,
         coalesce(job.excluded_nodes, '{}') as excluded_nodes, job.excluded_until,
         job.attempt, spec.max_attempts, job.crash_restarts, spec.max_crash_restarts,
         spec.backoff_kind, spec.backoff_ms, spec.backoff_max_ms, spec.timeout_ms,
         job.fence, job.settled_fence, job.ran_on,
         case when job.state = 'running' then job.ran_on end as claimed_by,
         case when job.state = 'running' then job.epoch end as epoch,
         case when job.state = 'running' then job.claim_seq end as claim_seq,
         -- The node ends the step at its timeout. This deadline is for a node that does not.
         case when job.state = 'running'
              then job.claimed_at + spec.timeout_ms * interval '1 millisecond' + interval '1 minute' end as deadline_at,
         job.claimed_at, job.cancel_requested_at, job.result, job.error, job.traceparent, job.created_at, job.finished_at,
         job.spec
    from public.loom_jobs as job
    left join public.loom_job_specs as spec on spec.id = job.spec
    left join public.loom_job_details as detail on detail.job_id = job.id
    left join public.loom_ready as ready on ready.job_id = job.id;

-- For how long finished runs of a workflow are kept, where it says so itself; null: as the hub says (retention.sql).
create table public.loom_retention (
  workflow_id  text primary key check (length(workflow_id) <= 100),
  succeeded_ms bigint check (succeeded_ms between 1 and 3153600000000),
  failed_ms    bigint check (failed_ms between 1 and 3153600000000),
  -- Runs that ended before this were looked at, and those of them that are kept for the shorter time are gone.
  pruned_to    timestamptz not null default '-infinity',
  constraint loom_retention_says check (succeeded_ms is not null or failed_ms is not null)
);

-- Workflows whose jobs are neither placed nor claimed.
create table public.loom_paused_workflows (
  workflow_id text primary key,
  note        text check (length(note) <= 2000),
  paused_at   timestamptz not null default clock_timestamp()
);

-- Events in the order of (xid, id), written by the transaction that caused them: one row for all jobs to which the
-- same happened in one call. A reader stops before the oldest transaction that is still open, so it does not miss a
-- row that commits late. Rows are never updated; old ones are removed in batches.
create table public.loom_event_batches (
  xid    xid8 not null default pg_current_xact_id(),
  -- The number of the first event in it. The others follow, at most 16384 in all.
  id     bigint generated always as identity (increment by 16384),
  at     timestamptz not null default clock_timestamp(),
  type   text not null,
  -- The state after the event: of the jobs or, without any, of the run.
  state  text,
  node   text,
  epoch  bigint,
  detail text,
  -- Of all events in it, where they have one run. Otherwise runs has the run of each.
  run_id uuid,
  -- All three null for an event that concerns neither a job nor several runs. Only jobs may be null for runs.
  jobs   bigint[],
  fences integer[],
  runs   uuid[],
  primary key (xid, id)
) with (toast_tuple_target = 8160, autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 20000);
-- Numbers that grow compress to nothing that is worth the time.
alter table public.loom_event_batches
  alter column jobs set storage external, alter column fences set storage external, alter column runs set storage external;

-- One row an event.
create view public.loom_events with (security_invoker = true) as
  select batch.xid, batch.id + coalesce(item.place, 1) - 1 as id, batch.at, batch.type,
         coalesce(item.run_id, batch.run_id) as run_id, item.job_id, batch.state, batch.node, batch.epoch, item.fence,
         batch.detail
    from public.loom_event_batches as batch
    left join lateral unnest(batch.jobs, batch.runs, batch.fences) with ordinality as item(job_id, run_id, fence, place)
      on true;

-- Output of attempts. A chunk is identified by its start, so appending it again after a
-- lost answer changes nothing.
create table public.loom_job_logs (
  job_id     bigint not null,
  fence      integer not null,
  start      integer not null check (start >= 0),
  chunk      text not null check (octet_length(chunk) between 1 and 262144),
  created_at timestamptz not null default clock_timestamp(),
  primary key (job_id, fence, start)
);

-- One row for each object in a store of files. The id names the object, and is never used again.
create table public.loom_files (
  id         uuid primary key default gen_random_uuid(),
  -- The store that has it: a hub's folder, or a bucket.
  store      text not null,
  digest     text not null,
  size       bigint not null,
  state      text not null default 'uploading' check (state in ('uploading', 'stored', 'removing')),
  -- What began the upload: a step by its claim, otherwise a person.
  name       text not null,
  node       text,
  job_id     bigint,
  fence      integer,
  -- The file that has the same content, and is used in place of this one.
  same_as    uuid,
  created_at timestamptz not null default clock_timestamp(),
  used_at    timestamptz not null default clock_timestamp(),
  -- Whether the sweep looks for runs that have it (loom_take_unused_files).
  may_be_unused boolean not null default true
);
create unique index loom_file_content on public.loom_files (store, digest) where state = 'stored';
create index loom_file_digest on public.loom_files (digest) where state = 'stored';
create index loom_file_upload on public.loom_files (job_id, fence) where state = 'uploading';
create index loom_file_going  on public.loom_files (store, id) where state = 'removing';
create index loom_file_begun  on public.loom_files (store, id) where state = 'uploading';
create index loom_file_unused on public.loom_files (store, used_at) where state = 'stored' and may_be_unused;

-- The files of runs. A file stays while a run has it.
create table public.loom_run_files (
  run_id     uuid not null,
  file       uuid not null references public.loom_files,
  name       text not null,
  -- The step that stored it; null for a file that came with the run's input.
  job_id     bigint,
  created_at timestamptz not null default clock_timestamp(),
  -- Whether it stays as long as the run. Others are looked at a day after the run's end (loom_prune_run_files).
  is_kept    boolean not null default false,
  primary key (run_id, file, name)
);
create index loom_run_file on public.loom_run_files (file);
create index loom_run_file_loose on public.loom_run_files (run_id) where not is_kept;
alter table public.loom_files     enable row level security;
alter table public.loom_run_files enable row level security;
revoke all on public.loom_files, public.loom_run_files from public, anon, authenticated, service_role;

-- Row level security without a policy: only the functions read and write the tables.
alter table public.loom_node_sessions enable row level security;
alter table public.loom_leaders       enable row level security;
alter table public.loom_runs          enable row level security;
alter table public.loom_job_specs     enable row level security;
alter table public.loom_jobs          enable row level security;
alter table public.loom_job_details   enable row level security;
alter table public.loom_checkpoints   enable row level security;
alter table public.loom_maps          enable row level security;
alter table public.loom_ready         enable row level security;
alter table public.loom_suspended     enable row level security;
alter table public.loom_signals       enable row level security;
alter table public.loom_approvals     enable row level security;
alter table public.loom_keyed_jobs    enable row level security;
alter table public.loom_retention     enable row level security;
alter table public.loom_paused_workflows enable row level security;
alter table public.loom_event_batches enable row level security;
alter table public.loom_job_logs      enable row level security;
revoke all on public.loom_node_sessions, public.loom_leaders, public.loom_runs, public.loom_job_specs, public.loom_jobs,
              public.loom_job_details, public.loom_checkpoints, public.loom_maps, public.loom_ready, public.loom_suspended,
              public.loom_signals, public.loom_approvals, public.loom_keyed_jobs, public.loom_job_queue,
              public.loom_retention, public.loom_paused_workflows, public.loom_event_batches, public.loom_events, public.loom_job_logs
  from public, anon, authenticated, service_role;

-- Incarnations that a newer one has superseded, newest first. They identify a hello of
-- an old incarnation that arrives late.
alter table public.loom_node_sessions add column past_incarnations uuid[] not null default '{}';

-- A fixed number of rows to lock, each for the concurrency keys that hash to it. One
-- row a key could never be removed safely. Two keys that share a row only wait for each
-- other.
create table public.loom_concurrency_locks (
  bucket smallint primary key
);
insert into public.loom_concurrency_locks select generate_series(0, 255);
alter table public.loom_concurrency_locks enable row level security;
revoke all on public.loom_concurrency_locks from public, anon, authenticated, service_role;

-- The tables of the HTTP API: its tokens, the requests with an idempotency key, and the
-- indexes that its lists read.

-- One row for each token of the API, and for each session that was opened with one. The
-- token is long and random and shown once; the table has only its digest.
create table public.loom_tokens (
  id           uuid primary key default gen_random_uuid(),
  name         text not null check (length(name) between 1 and 100),
  digest       text not null unique check (digest ~ '^[0-9a-f]{64}$'),
  scopes       text[] not null check (cardinality(scopes) > 0 and scopes <@ array['read', 'run', 'exec', 'operate', 'admin']),
  -- A session ends with the token that it was opened with. That token may not be in
  -- this table.
  is_session   boolean not null default false,
  parent       uuid references public.loom_tokens on delete cascade,
  created_by   text check (length(created_by) <= 300),
  created_at   timestamptz not null default clock_timestamp(),
  expires_at   timestamptz,
  last_used_at timestamptz,
  revoked_at   timestamptz
);
create unique index loom_token_name on public.loom_tokens (name) where not is_session and revoked_at is null;
create index loom_token_parent on public.loom_tokens (parent) where parent is not null;
create index loom_token_session on public.loom_tokens (expires_at) where is_session;

-- One row for each request with an idempotency key: the request and its answer.
create table public.loom_request_keys (
  who         text not null,
  action      text not null,
  key         public.loom_key not null,
  fingerprint text not null check (length(fingerprint) <= 100),
  answer      text,
  created_at  timestamptz not null default clock_timestamp(),
  primary key (who, action, key)
);
create index loom_request_key_age on public.loom_request_keys (created_at);

alter table public.loom_tokens       enable row level security;
alter table public.loom_request_keys enable row level security;
revoke all on public.loom_tokens, public.loom_request_keys from public, anon, authenticated, service_role;

create index loom_run_list     on public.loom_runs (created_at, id);
create index loom_run_workflow on public.loom_runs (workflow_id, created_at, id);
-- Only the events that a person requested.
create index loom_event_requests on public.loom_event_batches (xid, id) where type = 'request.done';
-- When nodes came and went.
create index loom_event_presence on public.loom_event_batches (xid, id) where type in ('node.hello', 'node.dead');

-- The leader of the hubs, the schedules of workflows, and the decision about each of their
-- slots.

-- One hub at a time does the duty `loops`: the holder, until expires_at. The epoch
-- rises whenever another holder takes over, so calls of a deposed leader can be
-- recognised.
alter table public.loom_leaders
  add column holder     text check (length(holder) between 1 and 200),
  add column epoch      bigint not null default 0,
  add column expires_at timestamptz,
  add constraint loom_leader_lease check ((holder is null) = (expires_at is null));
insert into public.loom_leaders (duty, ticked_at) values ('loops', clock_timestamp());

-- One row for each schedule that the leading hub's workflows define.
create table public.loom_schedules (
  id            text primary key check (length(id) between 1 and 100),
  workflow_id   public.loom_name not null,
  expression    text not null check (length(expression) between 1 and 1000),
  time_zone     text not null check (length(time_zone) between 1 and 100),
  input         public.loom_input not null,
  overlap       text not null check (overlap in ('skip', 'queue-one', 'allow')),
  -- "skip", "once" or {"all": n}
  missed        jsonb not null check (missed in ('"skip"', '"once"') or jsonb_typeof(missed -> 'all') = 'number'),
  grace_ms      integer not null check (grace_ms > 0),
  paused_at     timestamptz,
  pause_note    text check (length(pause_note) <= 2000),
  -- Slots up to this time are decided.
  decided_until timestamptz not null default clock_timestamp(),
  -- Rises by 1 with every change that a decision depends on. A decision from an older
  -- revision is refused and made again.
  revision      bigint not null default 1,
  created_at    timestamptz not null default clock_timestamp(),
  -- No workflow defines the schedule any more. It starts nothing, and is kept as long
  -- as its slots.
  removed_at    timestamptz,
  constraint loom_schedule_note check (pause_note is null or paused_at is not null)
);

-- One row for each time at which a schedule was due, with the decision about it.
create table public.loom_schedule_slots (
  -- The schedule and the instant: nightly@2026-11-22T03:00:00Z.
  id          text primary key check (length(id) between 1 and 200),
  schedule_id text not null references public.loom_schedules,
  slot_at     timestamptz not null,
  decision    text not null check (decision in ('fired', 'late', 'merged', 'skipped', 'missed')),
  -- Its run starts when the schedule's unfinished run has ended.
  queued      boolean not null default false,
  run_id      uuid references public.loom_runs on delete set null,
  -- The slot whose run also counts for this one.
  merged_into text check (length(merged_into) <= 200),
  code        text check (length(code) <= 100),
  reason      text check (length(reason) <= 2000),
  decided_at  timestamptz not null default clock_timestamp(),
  constraint loom_slot_once   unique (schedule_id, slot_at),
  constraint loom_slot_run    check (run_id is null or (decision in ('fired', 'late') and not queued)),
  constraint loom_slot_queued check (not queued or decision in ('fired', 'late')),
  constraint loom_slot_merged check ((merged_into is not null) = (decision = 'merged')),
  constraint loom_slot_reason check ((reason is not null) = (decision in ('skipped', 'missed')))
);
create unique index loom_slot_waits on public.loom_schedule_slots (schedule_id) where queued;
create index loom_slot_run on public.loom_schedule_slots (run_id) where run_id is not null;
create index loom_slot_age on public.loom_schedule_slots (slot_at);

-- The schedule of a run, whether it started by time or by a person's request.
alter table public.loom_runs add column schedule_id text;
create index loom_run_schedule on public.loom_runs (schedule_id) where schedule_id is not null and status = 'running';

alter table public.loom_schedules      enable row level security;
alter table public.loom_schedule_slots enable row level security;
revoke all on public.loom_schedules, public.loom_schedule_slots from public, anon, authenticated, service_role;

-- The input of a run as the caller sent it, before the workflow's schema parsed it: a
-- rerun parses it again. Null when both are the same.
alter table public.loom_runs add column raw_input text;

-- The identity of this database. Its address may change; that of the embedded database
-- changes at every start. An agent labels data that it keeps for a database with this
-- id.
create table public.loom_database (
  id     uuid not null default gen_random_uuid(),
  -- Where loom_prune_jobs goes on.
  pruned_to bigint not null default 0,
  is_one boolean primary key default true check (is_one)
);
insert into public.loom_database default values;
alter table public.loom_database enable row level security;
revoke all on public.loom_database from public, anon, authenticated, service_role;

-- The machine that holds a node's name. Null: the agent keeps no state and does not
-- report one.
alter table public.loom_node_sessions
  add column machine uuid,
  -- Identifies one start of the machine's kernel. Two machines never share it, even if
  -- one is a copy of the other.
  add column boot    uuid,
  add column host    text check (length(host) <= 253),
  add column is_hub  boolean not null default false;

-- A session that was opened with the token of a hub's environment has no parent in the
-- table. It has a fingerprint of that token instead, and ends when the hub's token
-- changes.
alter table public.loom_tokens add column bootstrap text check (bootstrap ~ '^[0-9a-f]{64}$');
alter table public.loom_tokens add constraint loom_session_begins
  check (is_session = (parent is not null or bootstrap is not null) and (parent is null or bootstrap is null));

-- The keys that may act for a node, and the tokens that a machine joins with. Both are random and
-- long, and only their digests are kept.

create domain public.loom_digest as text check (value ~ '^[0-9a-f]{64}$');
-- Names of capabilities, without values; '*' stands for all.
create domain public.loom_offer_names as text[]
  check (cardinality(value) <= 100 and octet_length(value::text) <= 20000);

create table public.loom_node_keys (
  id           uuid primary key default gen_random_uuid(),
  node         text not null check (node ~ '^[a-z0-9][a-z0-9._-]{0,62}$'),
  digest       public.loom_digest not null unique,
  -- What the node may offer beside what probes measure.
  may_offer    public.loom_offer_names not null default '{}',
  -- The token and the machine that the key was made with.
  token_id     uuid,
  tailnet_id   text check (length(tailnet_id) between 1 and 200),
  -- The key that the node changed for this one.
  made_with    uuid,
  created_by   text not null check (length(created_by) <= 300),
  created_at   timestamptz not null default clock_timestamp(),
  expires_at   timestamptz,
  last_used_at timestamptz,
  revoked_at   timestamptz
);
create index loom_node_key_node on public.loom_node_keys (node);

create table public.loom_join_tokens (
  id         uuid primary key default gen_random_uuid(),
  digest     public.loom_digest not null unique,
  -- Null: for whichever name comes.
  node       text check (node ~ '^[a-z0-9][a-z0-9._-]{0,62}$'),
  may_offer  public.loom_offer_names not null default '{}',
  created_by text not null check (length(created_by) <= 300),
  created_at timestamptz not null default clock_timestamp(),
  expires_at timestamptz not null,
  uses_left  integer not null check (uses_left between 0 and 1000),
  revoked_at timestamptz
);

-- How many events a node has caused in a minute with its keys. Apart from those: its row is locked last of all.
create table public.loom_node_events (
  node   text primary key,
  minute timestamptz not null,
  events integer not null
);

alter table public.loom_node_keys   enable row level security;
alter table public.loom_join_tokens enable row level security;
alter table public.loom_node_events enable row level security;
revoke all on public.loom_node_keys, public.loom_join_tokens, public.loom_node_events
  from public, anon, authenticated, service_role;

-- The key that the session was opened with, or that renewed it since; null for the service role.
alter table public.loom_node_sessions add column key_id uuid;

-- What the node declares and its key does not allow: it is not offered.
alter table public.openclaw_instances
  add column if not exists asked_capabilities text[] not null default '{}',
  -- The order to take the hub's agent, until the node says how that ended. Nodes of one order go one by one.
  add column if not exists upgrade_order uuid;

-- Bundles of workflows that runs have needed. Whoever reads one checks digest and signature: nothing here is trusted.
create table public.loom_code (
  digest     public.loom_digest primary key,
  -- The workflows in it, for people.
  workflows  text[] not null check (cardinality(workflows) between 1 and 1000),
  -- gzip as base64. A bundle holds 8 MiB at most.
  source     text not null check (octet_length(source) <= 12582912),
  -- By the id of the key of the hub that signed: name, manifest, signature.
  signed     jsonb not null,
  created_at timestamptz not null default clock_timestamp(),
  -- When a run or job with it was last added, within a minute.
  used_at    timestamptz not null default clock_timestamp()
);
alter table public.loom_code enable row level security;
revoke all on public.loom_code from public, anon, authenticated, service_role;

-- Who is notified of what (notifications). The address and the secrets of a target are sealed by the hub with a key
-- that is not in the database; what may be shown of them is in target.
create table public.loom_hooks (
  name       text primary key check (name ~ '^[a-z0-9][a-z0-9._-]{0,62}$'),
  -- See loom_check_rules.
  rules      text[] not null,
  -- Empty: every workflow.
  workflows  text[] not null default '{}' check (cardinality(workflows) <= 100 and octet_length(workflows::text) <= 20000),
  -- How long a step waits before step.waiting applies.
  waiting_ms bigint check (waiting_ms between 60000 and 604800000),
  target     jsonb not null check (octet_length(target::text) <= 4096),
  sealed     text not null check (octet_length(sealed) <= 16384),
  -- Only what happens later counts. Null: the hook is disabled.
  enabled_at timestamptz,
  -- When step.waiting was last decided.
  waits_checked_at timestamptz,
  -- Occurrences that got no delivery, because too many were waiting to be sent.
  dropped    bigint not null default 0,
  created_by text not null check (length(created_by) <= 300),
  created_at timestamptz not null default clock_timestamp(),
  constraint loom_hook_waits   check ((waiting_ms is not null) = ('step.waiting' = any (rules))),
  constraint loom_hook_concern check (workflows = '{}' or 'node.lost' <> all (rules))
);

-- Who is notified because a workflow says so, besides what hooks want of every workflow. A hook of this name may be made
-- later.
create table public.loom_notify (
  workflow_id text check (length(workflow_id) <= 100),
  rule        text check (length(rule) <= 100),
  hook        text check (length(hook) <= 63),
  primary key (workflow_id, rule, hook)
);

-- One row for each thing that a hook has to send, written once for each occurrence.
create table public.loom_hook_deliveries (
  id         uuid primary key default gen_random_uuid(),
  hook       text not null references public.loom_hooks on delete cascade,
  -- A rule of the hook, or test.
  rule       text not null check (length(rule) <= 100),
  -- What it is about, and which time of that: a hook gets one delivery for both.
  subject    text not null check (length(subject) <= 300),
  occurrence text not null check (length(occurrence) <= 300),
  -- JSON, for the message.
  facts      text not null check (octet_length(facts) <= 65536),
  state      text not null default 'pending' check (state in ('pending', 'delivered', 'failed')),
  attempts   integer not null default 0,
  -- When it is due. While a hub sends it, that is when another attempt may follow if the hub does not say how this one ended.
  next_at    timestamptz default clock_timestamp(),
  created_at timestamptz not null default clock_timestamp(),
  -- Of the newest attempt.
  sent_at    timestamptz,
  status     integer,
  took_ms    integer,
  answer     text check (length(answer) <= 200),
  error      text check (length(error) <= 500),
  constraint loom_delivery_once unique (hook, rule, subject, occurrence),
  constraint loom_delivery_due  check ((state = 'pending') = (next_at is not null))
);
create index loom_delivery_next on public.loom_hook_deliveries (hook, next_at) where next_at is not null;
create index loom_delivery_list on public.loom_hook_deliveries (hook, created_at, id);
create index loom_delivery_age  on public.loom_hook_deliveries (created_at);

-- Events up to here have been looked at for hooks.
create table public.loom_hook_cursor (
  xid    xid8 not null default '0',
  id     bigint not null default 0,
  is_one boolean primary key default true check (is_one)
);
insert into public.loom_hook_cursor default values;

alter table public.loom_hooks           enable row level security;
alter table public.loom_notify          enable row level security;
alter table public.loom_hook_deliveries enable row level security;
alter table public.loom_hook_cursor     enable row level security;
revoke all on public.loom_hooks, public.loom_notify, public.loom_hook_deliveries, public.loom_hook_cursor
  from public, anon, authenticated, service_role;
