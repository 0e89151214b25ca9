/// <reference path="./global-setup.ts" />
import { type Database, openDatabase } from "@loom/local-db";
import { createClient, type SupabaseClient } from "@supabase/supabase-js";
import { test as base, inject } from "vitest";
import { createQueue } from "../create-queue.ts";

/** A client of this database's API; `key` decides the role. */
export const connect = (database: Database, key: string): SupabaseClient =>
  createClient(database.url, key, { auth: { persistSession: false, autoRefreshToken: false } });

/**
 * Vitest's `test` with a real queue: `database` (Postgres with Loom's tables and its
 * PostgREST), `client` (supabase-js as the service role) and `queue`.
 *
 * One database a worker, cloned from the migrated template, and emptied before each test.
 */
export const databaseTest = base
  // biome-ignore lint/correctness/noEmptyPattern: Vitest reads the names from this pattern
  .extend("clone", { scope: "worker" }, async ({}, { onCleanup }) => {
    const database = await openDatabase(inject("cluster"));
    onCleanup(() => database.stop());
    return database;
  })
  .extend("database", async ({ clone }) => {
    await clone.sql`
      truncate public.loom_runs, public.loom_job_queue, public.loom_job_logs, public.loom_events,
               public.loom_node_sessions, public.loom_concurrency_keys, public.loom_paused_workflows,
               public.openclaw_instances
       restart identity`;
    await clone.sql`update public.loom_leaders set ticked_at = clock_timestamp()`;
    return clone;
  })
  .extend("client", ({ database }) => connect(database, database.serviceKey))
  .extend("queue", ({ client }) => createQueue({ client }));
