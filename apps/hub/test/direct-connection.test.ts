import { fileURLToPath } from "node:url";
import type { Database } from "@loom/local-db";
import { describe, expect } from "vitest";
import { type Body, startProgram, TOKEN, test } from "./fixtures.ts";

const WORKFLOWS = fileURLToPath(new URL("workflows/on-demand", import.meta.url));
const headers = { authorization: `Bearer ${TOKEN}` };

/** The hub's own connections. */
const connections = ({ sql }: Database) => sql<{ pid: number; role: string }[]>`
  select pid, usename as role from pg_stat_activity where application_name = 'loom-hub' and datname = current_database()`;

/** A hub that has the API of a database as well as a direct connection. */
async function startHub(database: Database) {
  const hub = await startProgram(["start"], {
    SUPABASE_URL: database.url,
    SUPABASE_SECRET_KEY: database.serviceKey,
    DATABASE_URL: `postgres:///${database.name}`,
    PGHOST: database.socketDir,
    PGUSER: "postgres",
    LOOM_TOKEN: TOKEN,
    LOOM_NODE_NAME: "oracle",
    LOOM_CAPABILITIES: "has-gpu",
    LOOM_WORKFLOWS_DIR: WORKFLOWS,
    PORT: "0",
  });
  const { url } = await hub.said("listening");
  const ask = async (method: string, path: string) =>
    (await (await fetch(`${url}/api/loom${path}`, { method, headers })).json()) as Body;
  return {
    ...hub,
    /** Runs a workflow to its end. */
    async run() {
      let runId: unknown;
      // The hub may still be importing the workflow.
      await expect
        .poll(
          async () => {
            ({ runId } = await ask("POST", "/strands/two-steps/run"));
            return typeof runId;
          },
          { timeout: 20_000 },
        )
        .toBe("string");
      await expect.poll(async () => (await ask("GET", `/runs/${runId}`)).status).toBe("succeeded");
    },
    isReady: async () => (await fetch(`${url}/readyz`)).status === 200,
  };
}

describe("a hub with a direct connection", { timeout: 60_000 }, () => {
  test("works over a few connections, and goes on when they are broken", async ({
    database,
    queue,
  }) => {
    const hub = await startHub(database);
    await hub.run();
    const open = await connections(database);
    expect(open.length).toBeGreaterThan(0);
    expect(open.length).toBeLessThanOrEqual(6);

    for (let count = 0; count < 3; count += 1) {
      await database.sql`
        select pg_terminate_backend(pid) from pg_stat_activity
         where application_name = 'loom-hub' and datname = current_database()`;
      await expect.poll(hub.isReady).toBe(true);
    }
    await hub.run();
    const broken = new Set(open.map(({ pid }) => pid));
    expect((await connections(database)).some(({ pid }) => broken.has(pid))).toBe(false);
    expect(await queue.verify()).toEqual([]);
    expect((await hub.child.stop("SIGTERM")).code).toBe(0);
    await expect.poll(() => connections(database)).toEqual([]);
  });
});
