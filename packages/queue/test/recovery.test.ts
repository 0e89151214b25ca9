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
async function insist<Answer>(call: () => Promise<Answer>) {
  for (let failures = 0; ; failures += 1) {
    try {
      return { answer: await call(), failures };
    } catch (error) {
      if (!(error instanceof QueueUnavailableError)) throw error;
    }
  }
}

/** How many calls failed while something happened that all of them had to outlive. */
async function failuresDuring(queue: Queue, happening: () => Promise<void>): Promise<number> {
  let isOver = false;
  const happened = happening().finally(() => {
    isOver = true;
  });
  let sum = 0;
  while (!isOver) sum += (await insist(() => queue.listNodes())).failures;
  await happened;
  return sum;
}

describe("a queue", () => {
  test.for(["fast", "immediate"] as const)(
    "outlives a %s restart of Postgres, over either transport",
    async (mode, { cluster, supabase, direct }) => {
      const [kept] = await direct.enqueue([makeJob({ key: mode })]);
      await insist(() => supabase.listNodes());
      const restart = cluster.restartPostgres({ mode });
      for (const failures of await Promise.all([
        failuresDuring(supabase, () => restart),
        failuresDuring(direct, () => restart),
      ])) {
        expect(failures).toBeGreaterThan(0);
      }
      for (const queue of [supabase, direct]) {
        const { answer } = await insist(() => queue.enqueue([makeJob({ key: mode })]));
        expect(answer).toEqual([{ id: kept?.id, returned: "existing" }]);
      }
    },
  );

  test("listens again after a restart of Postgres", async ({ cluster, direct }) => {
    const heard = new Set<string>();
    await direct.listen((nodes) => {
      for (const node of nodes) heard.add(node);
    });
    await cluster.restartPostgres({ mode: "immediate" });
    // A notification is a hint: those that come before it listens again are lost.
    while (!heard.has("forge")) await insist(() => direct.enqueue([makeJob({ host: "forge" })]));
  });

  test("outlives a restart of PostgREST", async ({ database, supabase }) => {
    await insist(() => supabase.listNodes());
    const failures = await failuresDuring(supabase, () => database.restartPostgrest());
    expect(failures).toBeGreaterThan(0);
    expect((await insist(() => supabase.listNodes())).failures).toBe(0);
  });
});
