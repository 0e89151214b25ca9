import { clientOptions, createPostgresQueue } from "@loom/queue/postgres";
import { databaseTest } from "@loom/queue/testing";
import postgres from "postgres";
import { describe, expect } from "vitest";

const test = databaseTest.extend("connections", ({ database }, { onCleanup }) => {
  const clients: postgres.Sql[] = [];
  onCleanup(async () => {
    for (const sql of clients) await sql.end({ timeout: 1 });
  });
  const open = (name: string, max: number, idleSeconds?: number) => {
    const sql = postgres(database.databaseUrl, {
      ...clientOptions,
      host: database.socketDir,
      max,
      ...(idleSeconds && { idle_timeout: idleSeconds }),
      connection: { application_name: name },
    });
    clients.push(sql);
    return sql;
  };
  const count = async (name: string) =>
    (
      await database.sql`
        select from pg_stat_activity where application_name = ${name} and datname = current_database()`
    ).length;
  return { open, count };
});

describe("a queue with a client for bursts", () => {
  test("opens its connections only for calls that come together, and closes them again", async ({
    connections: { open, count },
  }) => {
    const queue = createPostgresQueue({ sql: open("kept", 2), overflow: open("burst", 3, 1) });
    for (let calls = 0; calls < 5; calls += 1) await queue.listNodes();
    expect(await count("burst")).toBe(0);

    const answers = await Promise.all(Array.from({ length: 20 }, () => queue.listNodes()));
    expect(answers).toEqual(Array.from({ length: 20 }, () => []));
    expect([await count("kept"), await count("burst")]).toEqual([2, 3]);

    await expect.poll(() => count("burst")).toBe(0);
    expect(await queue.listNodes()).toEqual([]);
    expect([await count("kept"), await count("burst")]).toEqual([2, 0]);
  });

  test("does not count a call that failed as one that is under way", async ({
    connections: { open, count },
    database,
  }) => {
    const queue = createPostgresQueue({ sql: open("kept", 1), overflow: open("burst", 1) });
    await database.sql`alter function public.loom_list_nodes() rename to loom_list_no_nodes`;
    try {
      await expect(queue.listNodes()).rejects.toThrow("loom_list_nodes");
    } finally {
      await database.sql`alter function public.loom_list_no_nodes() rename to loom_list_nodes`;
    }
    expect(await queue.listNodes()).toEqual([]);
    expect(await count("burst")).toBe(0);
  });
});
