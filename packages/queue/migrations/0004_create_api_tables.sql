-- What the HTTP API keeps: who may ask, what was asked for with a key, and the indexes
-- that its lists read.

-- One row a token of the API, or a session that was opened with one. The token itself
-- is random and long, and shown once; what is kept is its digest.
create table public.loom_tokens (
  id           uuid primary key default gen_random_uuid(),
  name         text not null check (length(name) between 1 and 100),
  digest       text not null unique check (digest ~ '^[0-9a-f]{64}$'),
  scopes       text[] not null check (cardinality(scopes) > 0 and scopes <@ array['read', 'run', 'operate', 'admin']),
  -- A session ends with the token that it was opened with, which may be none of this table.
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

-- One row a request that came with a key: what it was, and what it came to.
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
-- What people asked for; the other events are not in it.
create index loom_event_requests on public.loom_events (xid, id) where type = 'request.done';
