import { expect, test } from "vitest";
import { formatReport } from "./chaos/report.ts";
import { runRound } from "./chaos/round.ts";

const SEED = "20261123";

// Kills, stops beyond the lease, lost requests and answers, late replays, restarts of
// Postgres and PostgREST, all at once; then every event and every call is checked.
test("10 000 jobs under every fault have one outcome each", { timeout: 600_000 }, async () => {
  const report = await runRound({ seed: SEED, minutes: 8, maxJobs: 10_000 });
  console.log(formatReport(report));
  expect(report.violations).toEqual([]);
  const jobs = Object.values(report.states).reduce((sum, count) => sum + count, 0);
  expect(jobs).toBeGreaterThanOrEqual(10_000);
});
