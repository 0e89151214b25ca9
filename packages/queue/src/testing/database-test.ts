import { type ClusterInfo, type Database, openDatabase, startCluster } from "@loom/local-db";
import { createClient, type SupabaseClient } from "@supabase/supabase-js";
import { test as base } from "vitest";
import { migrationScript } from "../migrate.ts";
import { createQueue, type Queue } from "../queue.ts";
import { HOSTED_ROLES } from "./hosted/project.ts";
import { workerCluster } from "./worker-cluster.ts";

/** A client of this database's API; `key` decides the role. */
export const connect = (database: Database, key: string): SupabaseClient =>
  createClient(database.url, key, { auth: { persistSession: false, autoRefreshToken: false } });

/** Every table without its rows, and numbers from 1; ten times as quick as `truncate`. */
const EMPTY = `
  delete from public.loom_schedule_slots;
  delete from public.loom_schedules;
  delete from public.loom_job_logs;
  delete from public.loom_run_files;
  delete from public.loom_files;
  delete from public.loom_job_details;
  delete from public.loom_checkpoints;
  delete from public.loom_retention;
  delete from public.loom_maps;
  delete from public.loom_ready;
  delete from public.loom_suspended;
  delete from public.loom_signals;
  delete from public.loom_approvals;
  delete from public.loom_keyed_jobs;
  delete from public.loom_jobs;
  delete from public.loom_job_specs;
  delete from public.loom_runs;
  delete from public.loom_event_batches;
  delete from public.loom_node_sessions;
  delete from public.loom_paused_workflows;
  delete from public.loom_tokens;
  delete from public.loom_node_keys;
  delete from public.loom_join_tokens;
  delete from public.loom_node_events;
  delete from public.loom_request_keys;
  delete from public.loom_code;
  delete from public.loom_hook_deliveries;
  delete from public.loom_hooks;
  delete from public.loom_notify;
  delete from public.openclaw_instances;
  select setval('public.loom_jobs_id_seq', 1, false), setval('public.loom_event_batches_id_seq', 1, false);
  update public.loom_database set pruned_to = 0;
  update public.loom_leaders set ticked_at = clock_timestamp(), holder = null, epoch = 0, expires_at = null;`;

/**
 * Vitest's `test` with a real queue: `database` (Postgres with Loom's tables and its
 * PostgREST), `client` (supabase-js as the service role) and `queue`.
 *
 * One database a worker, cloned from the migrated template, and emptied before each test. The
 * server is the one of the global set-up or, where there is none, one of the worker's own.
 */
export const databaseTest = base
  // biome-ignore lint/correctness/noEmptyPattern: Vitest reads the names from this pattern
  .extend("cluster", { scope: "worker" }, async ({}, { onCleanup }): Promise<ClusterInfo> => {
    const started = workerCluster();
    if (started) return started;
    const own = await startCluster({ schema: (await migrationScript()) + HOSTED_ROLES });
    onCleanup(() => own.stop());
    return own.info;
  })
  .extend("database", { scope: "worker" }, async ({ cluster }, { onCleanup }) => {
    const database = await openDatabase(cluster);
    onCleanup(() => database.stop());
    return database;
  })
  .extend("emptied", { auto: true }, async ({ database }) => {
    await database.sql.unsafe(EMPTY).simple();
  })
  .extend("client", { scope: "worker" }, ({ database }) => connect(database, database.serviceKey))
  .extend("queue", ({ client }): Queue => createQueue({ client }));
