import { createQueue } from "@loom/queue";
import { connect, databaseTest as test } from "@loom/queue/testing";
import { describe, expect } from "vitest";

describe("the schema", () => {
  test.for(["anon", "authenticated"])("lets %s call no function", async (role, { database }) => {
    const functions = await database.sql<{ name: string; allowed: boolean }[]>`
      select proname as name, has_function_privilege(${role}, oid, 'execute') as allowed
        from pg_proc where pronamespace = 'public'::regnamespace and proname ^@ 'loom_'`;
    expect(functions.length).toBeGreaterThan(10);
    expect(functions.filter(({ allowed }) => allowed)).toEqual([]);
  });

  test.for(["anon", "authenticated"])("lets %s touch no table", async (role, { database }) => {
    const tables = await database.sql<{ name: string; allowed: boolean; secured: boolean }[]>`
      select relname as name, relrowsecurity as secured,
             has_table_privilege(${role}, oid, 'select, insert, update, delete') as allowed
        from pg_class
       where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')
         and (relname ^@ 'loom_' or relname = 'openclaw_instances')`;
    expect(tables.length).toBeGreaterThan(4);
    expect(tables.filter(({ allowed, secured }) => allowed || !secured)).toEqual([]);
  });

  test("pins the search path of every function", async ({ database }) => {
    const loose = await database.sql`
      select proname from pg_proc
       where pronamespace = 'public'::regnamespace and proname ^@ 'loom_'
         and not coalesce('search_path=""' = any(proconfig), false)`;
    expect(loose).toEqual([]);
  });

  test("lets the service role call the API and none of its inner parts", async ({ database }) => {
    const callable = await database.sql<{ proname: string }[]>`
      select proname from pg_proc
       where pronamespace = 'public'::regnamespace and proname ^@ 'loom_'
         and has_function_privilege('service_role', oid, 'execute')
       order by proname`;
    expect(callable.map(({ proname }) => proname)).toEqual([
      "loom_act",
      "loom_append_log",
      "loom_cancel_jobs",
      "loom_cancel_run",
      "loom_claim_jobs",
      "loom_create_token",
      "loom_decide_slots",
      "loom_decline_jobs",
      "loom_describe_database",
      "loom_enqueue_jobs",
      "loom_expire_jobs",
      "loom_find_event_cursor",
      "loom_find_token",
      "loom_get_job",
      "loom_get_run",
      "loom_heartbeat",
      "loom_hello",
      "loom_lead",
      "loom_list_doorbells",
      "loom_list_jobs",
      "loom_list_nodes",
      "loom_list_paused",
      "loom_list_requests",
      "loom_list_runs",
      "loom_list_schedules",
      "loom_list_slots",
      "loom_list_tokens",
      "loom_list_waiting",
      "loom_pause_schedule",
      "loom_pause_workflow",
      "loom_place_jobs",
      "loom_prune",
      "loom_queue_depth",
      "loom_read_events",
      "loom_read_log",
      "loom_reap",
      "loom_redrive_jobs",
      "loom_report_node",
      "loom_resign",
      "loom_retry_run",
      "loom_revoke_token",
      "loom_set_node_status",
      "loom_settle_jobs",
      "loom_start_queued_slot",
      "loom_start_run",
      "loom_sync_schedules",
      "loom_trigger_schedule",
      "loom_verify",
      "loom_weigh_job",
    ]);
  });

  test("answers a key without rights with QUEUE_ACCESS", async ({ database }) => {
    const queue = createQueue({ client: connect(database, database.anonKey) });
    await expect(queue.listNodes()).rejects.toMatchObject({ code: "QUEUE_ACCESS" });
  });

  test("lets a key that names a node act for that node only", async ({ database }) => {
    const key = await database.signKey({ role: "service_role", node: "forge" });
    const queue = createQueue({ client: connect(database, key) });
    const report = {
      incarnation: crypto.randomUUID(),
      leaseMs: 45_000,
      capabilities: [],
      slots: 1,
    };
    await expect(queue.hello({ ...report, name: "oracle" })).rejects.toMatchObject({
      code: "QUEUE_ACCESS",
    });
    expect(await queue.hello({ ...report, name: "forge" })).toMatchObject({ epoch: 1 });
  });
});
