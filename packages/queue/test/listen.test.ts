import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { createPostgresQueue } from "@loom/queue/postgres";
import { makeJob, offerAll } from "@loom/queue/testing";
import postgres, { type Sql } from "postgres";
import { describe, expect, onTestFinished } from "vitest";
import { postgresTest as test } from "./fixtures.ts";

/** The calls that a listener receives, in their order. */
function hearing() {
  const heard: string[][] = [];
  let tell = (): void => undefined;
  return {
    heard,
    hear(nodes: string[]) {
      heard.push(nodes);
      tell();
    },
    /** Resolves when it has been called so often. */
    async until(calls: number): Promise<void> {
      while (heard.length < calls) await new Promise<void>((resolve) => (tell = resolve));
    },
  };
}

const toForge = [makeJob({ host: "forge" })];

describe("listen", () => {
  test("calls back with the nodes of new offers, placed or pinned", async ({ sql }) => {
    const queue = createPostgresQueue({ sql, notify: true });
    const { heard, hear, until } = hearing();
    await queue.listen(hear);
    await queue.enqueue([...toForge, makeJob({ host: "oracle" }), makeJob()]);
    await until(1);
    await offerAll(queue, "anvil");
    await until(2);
    expect(heard.map((nodes) => nodes.sort())).toEqual([["forge", "oracle"], ["anvil"]]);
  });

  test("receives nothing from writers that do not notify", async ({ sql, queue }) => {
    const { heard, hear, until } = hearing();
    await queue.listen(hear);
    await queue.enqueue(toForge);
    await createPostgresQueue({ sql, notify: true }).enqueue([makeJob({ host: "oracle" })]);
    await until(1);
    expect(heard).toEqual([["oracle"]]);
  });

  test("does not take another listener's self-test for nodes, and stops when aborted", async ({
    sql,
  }) => {
    const queue = createPostgresQueue({ sql, notify: true });
    const one = hearing();
    const other = hearing();
    const stop = await queue.listen(one.hear);
    await queue.listen(other.hear);
    await queue.enqueue(toForge);
    await one.until(1);
    await stop();
    await queue.enqueue([makeJob({ host: "oracle" })]);
    await other.until(2);
    expect(one.heard).toEqual([["forge"]]);
    expect(other.heard).toEqual([["forge"], ["oracle"]]);
  });

  // A pooler accepts LISTEN on one connection and sends what is notified to another one.
  test("reports that notifications do not arrive", async ({ sql }) => {
    const swallowing = new Proxy(sql, {
      get: (client, name) =>
        name === "listen"
          ? (channel: string, hear: (payload: string) => void) =>
              client.listen(`${channel}_elsewhere`, hear)
          : Reflect.get(client, name),
    });
    const queue = createPostgresQueue({ sql: swallowing });
    await expect(queue.listen(() => undefined)).rejects.toMatchObject({
      code: "LISTEN_UNAVAILABLE",
    });
  });

  test("fails while there is no server, and calls back once when there is one", async ({
    database,
  }) => {
    const folder = mkdtempSync(path.join(tmpdir(), "loom-listen-"));
    const sql: Sql = postgres(database.databaseUrl, { host: path.join(folder, "socket") });
    onTestFinished(async () => {
      await sql.end({ timeout: 1 });
      rmSync(folder, { recursive: true });
    });
    const queue = createPostgresQueue({ sql, notify: true });
    const { heard, hear, until } = hearing();
    await expect(queue.listen(hear)).rejects.toMatchObject({ code: "QUEUE_UNAVAILABLE" });
    await expect(queue.listen(hear)).rejects.toMatchObject({ code: "QUEUE_UNAVAILABLE" });
    symlinkSync(database.socketDir, path.join(folder, "socket"));
    await queue.listen(hear);
    await queue.enqueue(toForge);
    await until(1);
    await queue.enqueue([makeJob({ host: "oracle" })]);
    await until(2);
    expect(heard).toEqual([["forge"], ["oracle"]]);
  });
});
