-- Who leads the hubs, when workflows start by themselves, and what became of each moment
-- at which one was to.

-- One hub at a time does the duty `loops`: its holder, until expires_at. The epoch rises
-- whenever another holder takes it over, and tells a deposed one's calls apart.
alter table public.loom_leaders
  add column holder     text check (length(holder) between 1 and 200),
  add column epoch      bigint not null default 0,
  add column expires_at timestamptz,
  add constraint loom_leader_lease check ((holder is null) = (expires_at is null));
insert into public.loom_leaders (duty, ticked_at) values ('loops', clock_timestamp());

-- One row a schedule, as the leading hub's workflows define it.
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
  -- Slots up to here have their outcome.
  decided_until timestamptz not null default clock_timestamp(),
  -- +1 with every change that a decision depends on: who decided by an older one decides again.
  revision      bigint not null default 1,
  created_at    timestamptz not null default clock_timestamp(),
  -- No workflow defines it any more: it starts nothing, and is kept as long as its slots.
  removed_at    timestamptz,
  constraint loom_schedule_note check (pause_note is null or paused_at is not null)
);

-- One row a moment at which a schedule was due, with what became of it.
create table public.loom_schedule_slots (
  -- The schedule and the instant: nightly@2026-11-22T03:00:00Z.
  id          text primary key check (length(id) between 1 and 200),
  schedule_id text not null references public.loom_schedules,
  slot_at     timestamptz not null,
  outcome     text not null check (outcome in ('fired', 'late', 'merged', 'skipped', 'missed')),
  -- Its run starts when the schedule's unfinished one has ended.
  queued      boolean not null default false,
  run_id      uuid references public.loom_runs on delete set null,
  -- The slot that stands for this one.
  merged_into text check (length(merged_into) <= 200),
  code        text check (length(code) <= 100),
  reason      text check (length(reason) <= 2000),
  decided_at  timestamptz not null default clock_timestamp(),
  constraint loom_slot_once   unique (schedule_id, slot_at),
  constraint loom_slot_run    check (run_id is null or (outcome in ('fired', 'late') and not queued)),
  constraint loom_slot_queued check (not queued or outcome in ('fired', 'late')),
  constraint loom_slot_merged check ((merged_into is not null) = (outcome = 'merged')),
  constraint loom_slot_reason check ((reason is not null) = (outcome in ('skipped', 'missed')))
);
create unique index loom_slot_waits on public.loom_schedule_slots (schedule_id) where queued;
create index loom_slot_run on public.loom_schedule_slots (run_id) where run_id is not null;
create index loom_slot_age on public.loom_schedule_slots (slot_at);

-- Of which schedule a run is, whether its time or a person started it.
alter table public.loom_runs add column schedule_id text check (length(schedule_id) <= 100);
create index loom_run_schedule on public.loom_runs (schedule_id) where schedule_id is not null and status = 'running';

alter table public.loom_schedules      enable row level security;
alter table public.loom_schedule_slots enable row level security;
revoke all on public.loom_schedules, public.loom_schedule_slots from public, anon, authenticated, service_role;
