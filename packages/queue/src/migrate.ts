import { readdir, readFile } from "node:fs/promises";
import { limits } from "@loom/workflow";
import { hookRules } from "@loom/workflow/hook-rules";

// The same folder for src/ and for dist/.
const MIGRATIONS = new URL("../migrations/", import.meta.url);
const FUNCTIONS = new URL("../sql/", import.meta.url);

/** The SQLSTATE of the refusal to migrate a database of another version of Loom. */
export const OTHER_VERSION = "LM001";

/**
 * Returns everything that a database needs for Loom as one script in one transaction: for psql, for
 * Supabase's SQL editor, or for any client that runs several statements.
 *
 * It may run any number of times, also by several hubs at once. Each file of `migrations/` is
 * applied once. All functions are dropped and created again from `sql/`, so none is left over from
 * an older version; callers see either the old ones or the new ones. A database with a migration
 * that is not in `migrations/` is refused with the SQLSTATE {@link OTHER_VERSION}. Limits and the
 * rules of hooks come from `@loom/workflow`, as `loom_limit` and `loom_hook_rules`.
 */
export async function migrationScript(): Promise<string> {
  const migrations = await read(MIGRATIONS);
  const functions = await read(FUNCTIONS);
  return [
    "begin;",
    "select pg_advisory_xact_lock(hashtext('loom migrations'));",
    LEDGER,
    refuseOthers(migrations.map(({ name }) => name)),
    ...migrations.map(({ name, text }) => applyOnce(name, text)),
    DROP_FUNCTIONS,
    LIMIT_FUNCTION,
    RULES_FUNCTION,
    ...functions.map(({ text }) => text),
    GRANT_FUNCTIONS,
    REVOKE_TABLES,
    // PostgREST reloads the functions' names after the transaction.
    "notify pgrst, 'reload schema';",
    "commit;",
    "",
  ].join("\n\n");
}

/** Returns the names of all migrations, sorted. An up-to-date database has had all of them. */
export const migrationNames = async (): Promise<string[]> =>
  (await read(MIGRATIONS)).map(({ name }) => name);

async function read(folder: URL): Promise<{ name: string; text: string }[]> {
  const names = (await readdir(folder)).filter((name) => name.endsWith(".sql")).sort();
  return Promise.all(
    names.map(async (name) => ({
      name: name.replace(/\.sql$/, ""),
      text: await readFile(new URL(name, folder), "utf8"),
    })),
  );
}

const LEDGER = `create table if not exists public.loom_migrations (
  name       text primary key,
  applied_at timestamptz not null default now()
);
alter table public.loom_migrations enable row level security;`;

const refuseOthers = (names: readonly string[]): string => `do $loom$
begin
  if exists (select from public.loom_migrations
              where name <> all (array[${names.map((name) => `'${name}'`).join(", ")}])) then
    raise exception 'another version of Loom created the tables of this database'
      using errcode = '${OTHER_VERSION}';
  end if;
end $loom$;`;

const applyOnce = (name: string, text: string): string => `do $loom$
begin
  if not exists (select from public.loom_migrations where name = '${name}') then
    execute $migration$${text}$migration$;
    insert into public.loom_migrations (name) values ('${name}');
  end if;
end $loom$;`;

// Loom's functions have a comment that distinguishes them from a user's functions with similar
// names. The types of arguments may change between versions, which "create or replace" does not
// allow.
const DROP_FUNCTIONS = `do $loom$
declare
  v_function regprocedure;
begin
  for v_function in
    select oid from pg_proc
     where pronamespace = 'public'::regnamespace
       and obj_description(oid, 'pg_proc') = 'Loom'
  loop
    execute format('drop function %s', v_function);
  end loop;
end $loom$;`;

const toSnakeCase = (name: string): string =>
  name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

// The function is immutable, so the planner calls it once and keeps a constant. An unknown name
// fails the call, because a comparison with null would exceed no limit.
const LIMIT_FUNCTION = `create function public.loom_limit(p_name text)
  returns bigint
  language plpgsql
  immutable
  set search_path = ''
as $$
declare
  v_limit bigint := case p_name
${Object.entries(limits)
  .map(([name, value]) => `    when '${toSnakeCase(name)}' then ${value}`)
  .join("\n")}
  end;
begin
  if v_limit is null then
    raise exception 'unknown limit' using errcode = 'undefined_parameter', detail = p_name;
  end if;
  return v_limit;
end $$;`;

/**
 * The functions that an agent calls with its node's key (`loom_acting_key`). They are the only functions
 * of Loom that the role `anon` may execute.
 */
export const NODE_FUNCTIONS = [
  "loom_append_log",
  "loom_begin_file",
  "loom_decline_jobs",
  "loom_describe_database",
  "loom_describe_node",
  "loom_exchange",
  "loom_heartbeat",
  "loom_hello",
  "loom_open_file",
  "loom_read_code",
  "loom_report_node",
  "loom_revoke_own_key",
  "loom_rotate_key",
  "loom_save_checkpoint",
  "loom_set_node_status",
] as const;

/**
 * The functions that only the service role may call. The client calls these and the functions of an agent.
 * All others are internal: only these functions call them, as their owner.
 */
const API_FUNCTIONS = [
  "loom_allow_offers",
  "loom_begin_upload",
  "loom_cancel_jobs",
  "loom_cancel_run",
  "loom_change_hook",
  "loom_create_hook",
  "loom_create_join_token",
  "loom_create_token",
  "loom_decide_slots",
  "loom_decide_approval",
  "loom_drop_upload",
  "loom_end_waits",
  "loom_enqueue_jobs",
  "loom_expire_jobs",
  "loom_expand_maps",
  "loom_explain_wait",
  "loom_find_event_cursor",
  "loom_find_run_file",
  "loom_find_token",
  "loom_finish_file",
  "loom_forget_files",
  "loom_get_approval",
  "loom_get_job",
  "loom_get_run",
  "loom_join_node",
  "loom_lead",
  "loom_list_approvals",
  "loom_list_deliveries",
  "loom_list_files",
  "loom_list_hooks",
  "loom_list_items",
  "loom_list_jobs",
  "loom_list_join_tokens",
  "loom_list_keys",
  "loom_list_nodes",
  "loom_list_paused",
  "loom_list_requests",
  "loom_list_runs",
  "loom_list_schedules",
  "loom_list_sessions",
  "loom_list_slots",
  "loom_list_tokens",
  "loom_list_waiting",
  "loom_list_wake_addresses",
  "loom_order_upgrade",
  "loom_pause_schedule",
  "loom_pause_workflow",
  "loom_place_jobs",
  "loom_preview_retry",
  "loom_prune",
  "loom_queue_depth",
  "loom_read_events",
  "loom_read_log",
  "loom_reap",
  "loom_record_conditions",
  "loom_record_delivery",
  "loom_redeliver",
  "loom_redrive_jobs",
  "loom_remove_hook",
  "loom_remove_node",
  "loom_resign",
  "loom_retry_run",
  "loom_revoke_join_token",
  "loom_revoke_key",
  "loom_revoke_token",
  "loom_rewind_schedule",
  "loom_round",
  "loom_send_signal",
  "loom_start_queued_slot",
  "loom_start_run",
  "loom_store_code",
  "loom_summarize",
  "loom_sync_notify",
  "loom_sync_schedules",
  "loom_tail_log",
  "loom_take_conditions",
  "loom_take_deliveries",
  "loom_take_unused_files",
  "loom_test_hook",
  "loom_trigger_schedule",
  "loom_verify",
  "loom_with_audit",
] as const;

// A project that is older than 2026 grants everything on each new table and sequence by itself.
const REVOKE_TABLES = `do $loom$
declare
  v_name text;
begin
  for v_name in
    select relname from pg_class
     where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'S', 'v') and relname ^@ 'loom_'
  loop
    execute format('revoke all on public.%I from public, anon, authenticated, service_role', v_name);
  end loop;
end $loom$;`;

const toArray = (names: readonly string[]): string =>
  `array[${names.map((name) => `'${name}'`).join(", ")}]`;

const RULES_FUNCTION = `create function public.loom_hook_rules()
  returns text[]
  language sql
  immutable
  set search_path = ''
as $$ select ${toArray(hookRules)} $$;`;

// Everybody may execute a new function, so the same transaction revokes that.
const GRANT_FUNCTIONS = `do $loom$
declare
  v_function regprocedure;
  v_name     name;
begin
  for v_function, v_name in
    select oid, proname from pg_proc
     where pronamespace = 'public'::regnamespace and proname ^@ 'loom_'
       and obj_description(oid, 'pg_proc') is null
  loop
    execute format('revoke all on function %s from public, anon, authenticated, service_role', v_function);
    if v_name = any (${toArray(NODE_FUNCTIONS)}) then
      execute format('grant execute on function %s to anon, service_role', v_function);
      -- A project gives anon 3 s. PostgREST takes the time of a call from its function.
      execute format('alter function %s set statement_timeout = %L', v_function, '8s');
    elsif v_name = any (${toArray(API_FUNCTIONS)}) then
      execute format('grant execute on function %s to service_role', v_function);
    end if;
    execute format('comment on function %s is %L', v_function, 'Loom');
  end loop;
end $loom$;`;
