import { openDatabase, startCluster } from "@loom/local-db";
import { createQueue, migrationScript, type Queue, QueueUnavailableError } from "@loom/queue";
import { createPostgresQueue } from "@loom/queue/postgres";
import { connect, makeJob } from "@loom/queue/testing";
import postgres from "postgres";
import { test as base, describe, expect } from "vitest";

// Servers of these tests' own, as they are stopped.
const test = base
  // biome-ignore lint/correctness/noEmptyPattern: Vitest reads the names from this pattern
  .extend("cluster", { scope: "file" }, async ({}, { onCleanup }) => {
    const cluster = await startCluster({ schema: await migrationScript() });
    onCleanup(() => cluster.stop());
    return cluster;
  })
  .extend("database", { scope: "file" }, async ({ cluster }, { onCleanup }) => {
    const database = await openDatabase(cluster.info);
    onCleanup(() => database.stop());
    return database;
  })
  .extend("supabase", ({ database }) =>
    createQueue({ client: connect(database, database.serviceKey) }),
  )
  .extend("direct", ({ database }, { onCleanup }) => {
    const sql = postgres(database.databaseUrl, { host: database.socketDir, onnotice: () => {} });
    onCleanup(() => sql.end({ timeout: 1 }));
    return createPostgresQueue({ sql, notify: true });
  });

/** Calls until there is an answer; nothing but "try again" may come before it. */
async function untilAnswered(queue: Queue): Promise<number> {
  for (let failures = 0; ; failures += 1) {
    try {
      await queue.listNodes();
      return failures;
    } catch (error) {
      if (!(error instanceof QueueUnavailableError)) throw error;
    }
  }
}

describe("a queue", () => {
  test.for(["fast", "immediate"] as const)(
    "outlives a %s restart of Postgres, over either transport",
    async (mode, { cluster, supabase, direct }) => {
      const [kept] = await direct.enqueue([makeJob({ key: mode })]);
      await untilAnswered(supabase);
      let isOver = false;
      const failures = { supabase: 0, direct: 0 };
      const call = async (name: keyof typeof failures, queue: Queue) => {
        while (!isOver) failures[name] += await untilAnswered(queue);
      };
      const calling = [call("supabase", supabase), call("direct", direct)];
      await cluster.restartPostgres({ mode });
      isOver = true;
      await Promise.all(calling);
      expect(failures).toEqual({ supabase: expect.any(Number), direct: expect.any(Number) });
      expect(failures.supabase).toBeGreaterThan(0);
      expect(failures.direct).toBeGreaterThan(0);
      for (const queue of [supabase, direct]) {
        expect(await queue.enqueue([makeJob({ key: mode })])).toEqual([
          { id: kept?.id, returned: "existing" },
        ]);
      }
    },
  );

  test("listens again after a restart of Postgres", async ({ cluster, direct }) => {
    const heard = new Set<string>();
    await direct.listen((nodes) => {
      for (const node of nodes) heard.add(node);
    });
    await cluster.restartPostgres({ mode: "immediate" });
    await untilAnswered(direct);
    // A notification is a hint: those that come before it listens again are lost.
    while (!heard.has("forge")) await direct.enqueue([makeJob({ host: "forge" })]);
  });

  test("outlives a restart of PostgREST", async ({ database, supabase }) => {
    const restarting = database.restartPostgrest();
    const failures = await untilAnswered(supabase);
    await restarting;
    expect(failures).toBeGreaterThan(0);
    expect(await supabase.listNodes()).toEqual([]);
  });
});
