import { randomBytes, randomUUID } from "node:crypto";
import type { Database } from "@loom/local-db";
import { createQueue, type Queue } from "@loom/queue";
import { createHttpQueue } from "@loom/queue/http";
import { createPostgresQueue } from "@loom/queue/postgres";
import { connect, databaseTest, makeJob, makePlan, type QueueTest } from "@loom/queue/testing";
import { createClient } from "@supabase/supabase-js";
import postgres from "postgres";
import { describe, expect, onTestFinished } from "vitest";
import { untilWaiting } from "../src/testing/until-waiting.ts";
import { postgresTest } from "./fixtures.ts";

/** A queue over a direct connection with other options than the fixture's. */
function directQueue(database: Database, options: postgres.Options<Record<string, never>>): Queue {
  const sql = postgres(database.databaseUrl, { host: database.socketDir, ...options });
  onTestFinished(() => sql.end({ timeout: 1 }));
  return createPostgresQueue({ sql });
}

/** Calls that Postgres refuses, each for a reason of its own. */
const refused: { title: string; call: (queue: Queue) => Promise<unknown> }[] = [
  { title: "no number (22P02)", call: (queue) => queue.getJob("seven" as never) },
  { title: "a number beyond its type (22003)", call: (queue) => queue.getJob(2 ** 63) },
  { title: "no array (22023)", call: (queue) => queue.cancel(7 as never) },
  { title: "a NUL in a name (22P05)", call: (queue) => queue.pauseWorkflow("a\0b") },
  { title: "a missing name (23502)", call: (queue) => queue.pauseWorkflow(null as never) },
  {
    title: "a value that a check refuses (23514)",
    call: (queue) => queue.startRun(makePlan([{ step: "a", priority: 1_001 }])),
  },
  {
    title: "a name that no index holds (54000)",
    call: (queue) => queue.pauseWorkflow(randomBytes(8_000).toString("base64")),
  },
  {
    title: "a limit that is negative (2201W)",
    call: (queue) => queue.expire({ limit: -1 }),
  },
];

function describeErrors(
  name: string,
  test: QueueTest,
  others: { withoutRights: (database: Database) => Queue; nowhere: (database: Database) => Queue },
): void {
  describe(`errors of the server over ${name}`, () => {
    test.for(refused)("make $title an INVALID_ARGUMENT", async ({ call }, { queue }) => {
      await expect(call(queue)).rejects.toMatchObject({
        name: "QueueRequestError",
        code: "INVALID_ARGUMENT",
      });
    });

    test("make a role without rights QUEUE_ACCESS (42501)", async ({ database }) => {
      await expect(others.withoutRights(database).listNodes()).rejects.toMatchObject({
        code: "QUEUE_ACCESS",
      });
    });

    test("make a port where nobody listens QUEUE_UNAVAILABLE", async ({ database }) => {
      await expect(others.nowhere(database).listNodes()).rejects.toMatchObject({
        code: "QUEUE_UNAVAILABLE",
        reason: "network",
      });
    });

    test.for([
      { title: "a statement that is cancelled (57014)", end: "pg_cancel_backend" },
      { title: "a connection that is ended (57P01)", end: "pg_terminate_backend" },
    ])("make $title QUEUE_UNAVAILABLE", async ({ end }, { queue, database }) => {
      const { runId } = await queue.startRun(makePlan([{ step: "a" }]));
      let cancelling: Promise<unknown> | undefined;
      await database.sql.begin(async (sql) => {
        await sql`select from public.loom_runs for update`;
        cancelling = queue.cancelRun(runId);
        cancelling.catch(() => {});
        await untilWaiting(database);
        await database.sql`
          select ${database.sql(end)}(pid) from pg_stat_activity
           where datname = current_database() and wait_event_type = 'Lock'`;
      });
      await expect(cancelling).rejects.toMatchObject({ code: "QUEUE_UNAVAILABLE" });
      expect(await queue.cancelRun(runId)).toBe("cancelled");
    });

    test("make a lock that is not given QUEUE_UNAVAILABLE (55P03)", async ({ queue, database }) => {
      const { runId } = await queue.startRun(makePlan([{ step: "a" }]));
      await database.sql`alter function public.loom_cancel_run set lock_timeout = '20ms'`;
      await database.sql.begin(async (sql) => {
        await sql`select from public.loom_runs for update`;
        await expect(queue.cancelRun(runId)).rejects.toMatchObject({
          code: "QUEUE_UNAVAILABLE",
          reason: "server",
        });
      });
      await database.sql`alter function public.loom_cancel_run set lock_timeout = '5s'`;
    });
  });
}

describeErrors("supabase-js", databaseTest, {
  withoutRights: (database) => createQueue({ client: connect(database, database.anonKey) }),
  nowhere: () => createQueue({ client: createClient("http://127.0.0.1:9", "key") }),
});

const httpTest = databaseTest.extend("queue", ({ database }) =>
  createHttpQueue({ url: database.url, key: database.serviceKey }),
);

describeErrors("HTTP", httpTest, {
  withoutRights: ({ url, anonKey }) => createHttpQueue({ url, key: anonKey }),
  nowhere: () => createHttpQueue({ url: "http://127.0.0.1:9", key: "key" }),
});

describeErrors("a direct connection", postgresTest, {
  withoutRights: (database) => directQueue(database, { connection: { role: "anon" } }),
  nowhere: (database) => directQueue(database, { host: "127.0.0.1", port: 9 }),
});

describe("a direct connection", () => {
  postgresTest("says that a role may not log in (28000)", async ({ database }) => {
    const queue = directQueue(database, { user: "anon" });
    await expect(queue.listNodes()).rejects.toMatchObject({ code: "QUEUE_ACCESS" });
  });

  postgresTest("says that a database is not there, or is not Loom's", async ({ database }) => {
    for (const name of ["postgres", `no_${randomUUID()}`]) {
      const queue = directQueue(database, { database: name });
      await expect(queue.getJob(1)).rejects.toMatchObject({ code: "QUEUE_SCHEMA" });
      await expect(queue.listNodes()).rejects.toMatchObject({ code: "QUEUE_SCHEMA" });
    }
  });

  postgresTest("takes a read-only server for one that is away (25006)", async ({ database }) => {
    const queue = directQueue(database, { connection: { default_transaction_read_only: true } });
    await expect(queue.enqueue([makeJob()])).rejects.toMatchObject({ code: "QUEUE_UNAVAILABLE" });
  });

  postgresTest("gives up after its own time limit", async ({ sql, database, queue }) => {
    const { runId } = await queue.startRun(makePlan([{ step: "a" }]));
    const hasty = createPostgresQueue({ sql, timeoutMs: 20 });
    await database.sql.begin(async (held) => {
      await held`select from public.loom_runs for update`;
      await expect(hasty.cancelRun(runId)).rejects.toMatchObject({ reason: "timeout" });
    });
    expect(await queue.cancelRun(runId)).toBe("cancelled");
  });

  // postgres.js answers other calls with its answer when a value does not fit its type.
  postgresTest(
    "answers each call its own answer beside one that is refused",
    async ({ database }) => {
      const queue = directQueue(database, { max: 1 });
      await queue.cancel([1]);
      const ids = Array.from({ length: 20 }, (_, id) => id);
      const wrong = queue.cancel(7 as never).catch(() => "refused");
      const answers = await Promise.all([...ids.map((id) => queue.cancel([id])), wrong]);
      expect(answers).toEqual([...ids.map((id) => [{ id, answer: "unknown" }]), "refused"]);
    },
  );
});
