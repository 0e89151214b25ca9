import { createQueue, migrationScript } from "@loom/queue";
import { connect, databaseTest as test } from "@loom/queue/testing";
import { describe, expect } from "vitest";

/** The functions that an agent may call with its node's key. A new one needs a reason, and a test in node-access.test.ts. */
const OF_NODES = [
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
];

const OF_THE_SERVICE_ROLE = [
  "loom_allow_offers",
  "loom_begin_upload",
  "loom_cancel_jobs",
  "loom_cancel_run",
  "loom_change_hook",
  "loom_create_hook",
  "loom_create_join_token",
  "loom_create_token",
  "loom_decide_approval",
  "loom_decide_slots",
  "loom_drop_upload",
  "loom_end_waits",
  "loom_enqueue_jobs",
  "loom_expand_maps",
  "loom_expire_jobs",
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
];

describe("the schema", () => {
  test("lets exactly these roles execute exactly these functions", async ({ database }) => {
    const functions = await database.sql<{ name: string; roles: string[] }[]>`
      select proname as name, array(
               select distinct coalesce(grantee::regrole::text, 'public')
                 from aclexplode(coalesce(proacl, acldefault('f', proowner))) as granted
                where granted.grantee <> proowner order by 1) as roles
        from pg_proc where pronamespace = 'public'::regnamespace and proname ^@ 'loom_'`;
    const of = (...roles: string[]) =>
      functions
        .filter((each) => each.roles.join() === roles.join())
        .map(({ name }) => name)
        .sort();
    expect(of("anon", "service_role")).toEqual(OF_NODES);
    expect(of("service_role")).toEqual(OF_THE_SERVICE_ROLE);
    expect(of()).toHaveLength(functions.length - OF_NODES.length - OF_THE_SERVICE_ROLE.length);
  });

  test("lets nobody but its owner touch a table, a column or a sequence", async ({ database }) => {
    const relations = await database.sql<{ name: string; grants: number; secured: boolean }[]>`
      select relname as name, relkind not in ('r', 'p') or relrowsecurity as secured,
             (select count(*)::integer from aclexplode(relacl) as granted where granted.grantee <> relowner)
             + (select count(*)::integer from pg_attribute where attrelid = pg_class.oid and attacl is not null) as grants
        from pg_class
       where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v', 'm', 'f', 'S')
         and (relname ^@ 'loom_' or relname = 'openclaw_instances')`;
    expect(relations.length).toBeGreaterThan(15);
    expect(relations.filter(({ grants, secured }) => grants > 0 || !secured)).toEqual([]);
  });

  test("revokes the default grants of an older project", async ({ database }) => {
    await database.sql.unsafe(`
      grant all on public.loom_runs, public.loom_migrations, public.loom_tokens to anon, service_role;
      grant all on sequence public.loom_jobs_id_seq to anon, authenticated;
      grant execute on function public.loom_create_token to anon, authenticated`);
    const connection = await database.sql.reserve();
    await connection.unsafe(await migrationScript()).simple();
    connection.release();
    const [row] = await database.sql<{ granted: number }[]>`
      select (select count(*) from pg_class, aclexplode(relacl) as granted
               where relnamespace = 'public'::regnamespace and relname ^@ 'loom_' and granted.grantee <> relowner)
             + has_function_privilege('anon', 'public.loom_create_token(text,text,text[],bigint,text,uuid,text)', 'execute')::integer
             as granted`;
    expect(Number(row?.granted)).toBe(0);
  });

  test("pins the search path of every function", async ({ database }) => {
    const loose = await database.sql`
      select proname from pg_proc
       where pronamespace = 'public'::regnamespace and proname ^@ 'loom_'
         and not coalesce('search_path=""' = any(proconfig), false)`;
    expect(loose).toEqual([]);
  });

  test("gives an agent's call the same time limit as a hub's", async ({ database }) => {
    const quick = await database.sql`
      select proname from pg_proc
       where pronamespace = 'public'::regnamespace and has_function_privilege('anon', oid, 'execute')
         and proname ^@ 'loom_' and not coalesce('statement_timeout=8s' = any(proconfig), false)`;
    expect(quick).toEqual([]);
  });

  test("answers a key without rights with QUEUE_ACCESS", async ({ database }) => {
    const queue = createQueue({ client: connect(database, database.anonKey) });
    await expect(queue.listNodes()).rejects.toMatchObject({ code: "QUEUE_ACCESS" });
  });
});
