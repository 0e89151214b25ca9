/// <reference path="./global-setup.ts" />
import { type Database, openDatabase } from "@loom/local-db";
import { createQueue, type Queue } from "@loom/queue";
import { createClient, type SupabaseClient } from "@supabase/supabase-js";
import { test as base, inject, type TestAPI } from "vitest";

export interface DatabaseFixtures {
  /** A Postgres database with Loom's tables, all empty when the test begins, and its PostgREST. */
  database: Database;
  /** As the service role. */
  client: SupabaseClient;
  queue: Queue;
}

/** A client of this database's API; `key` decides the role. */
export const connect = (database: Database, key: string): SupabaseClient =>
  createClient(database.url, key, { auth: { persistSession: false, autoRefreshToken: false } });

/**
 * Vitest's `test` with a real queue: one database a worker, cloned from the migrated
 * template, and emptied before each test.
 */
export const databaseTest: TestAPI<DatabaseFixtures> = base
  .extend("clone", { scope: "worker" }, async ({}, { onCleanup }) => {
    const database = await openDatabase(inject("cluster"));
    onCleanup(() => database.stop());
    return database;
  })
  .extend("database", async ({ clone }) => {
    await clone.sql`truncate public.loom_runs, public.loom_job_queue, public.loom_node_sessions, public.openclaw_instances restart identity`;
    await clone.sql`update public.loom_leaders set ticked_at = clock_timestamp()`;
    return clone;
  })
  .extend("client", ({ database }) => connect(database, database.serviceKey))
  .extend("queue", ({ client }) => createQueue({ client }));
