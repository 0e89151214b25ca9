import { existsSync } from "node:fs";
import { startCluster } from "@loom/local-db";
import { migrationScript } from "@loom/queue";
import { describeQueue } from "@loom/queue/testing";
import { describe, expect } from "vitest";
import { postgresTest } from "./fixtures.ts";

/** The programs of the oldest Postgres that Supabase runs; the embedded one is the newest. */
const binDir = process.env.LOOM_POSTGRES_15 ?? "/usr/lib/postgresql/15/bin";

const test = postgresTest.extend(
  "cluster",
  { scope: "worker" },
  // biome-ignore lint/correctness/noEmptyPattern: Vitest reads the names from this pattern
  async ({}, { onCleanup }) => {
    const cluster = await startCluster({ schema: await migrationScript(), binDir });
    onCleanup(() => cluster.stop());
    return cluster.info;
  },
);

describe.skipIf(!process.env.CI && !existsSync(binDir))("Postgres 15", () => {
  test("is what the contract runs on", async ({ database }) => {
    const [row] = await database.sql<{ version: string }[]>`
      select current_setting('server_version') as version`;
    expect(row?.version).toMatch(/^15\./);
  });

  describeQueue("a direct connection", test);
});
