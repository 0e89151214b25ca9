import { randomInt } from "node:crypto";
import { describe, expect, test } from "vitest";
import { openLab } from "./history-support/lab.ts";
import { overlapAll } from "./history-support/overlap.ts";
import { checkWorkload, runWorkload } from "./history-support/workload.ts";

// A seed replays what everybody decides, not when: LOOM_SEED=1234 vitest …
const seeds = process.env.LOOM_SEED
  ? [Number(process.env.LOOM_SEED)]
  : Array.from({ length: 6 }, () => randomInt(1_000_000));

describe("the queue", () => {
  test.for(seeds)("keeps every rule in a storm of seed %i", async (seed) => {
    const lab = await openLab();
    const { violations, rows, events } = await runWorkload(lab, seed);
    expect(lab.errors).toEqual([]);
    expect([...violations, ...rows]).toEqual([]);
    expect(events).toBeGreaterThan(500);
  });

  // In each pair of calls, the first holds its locks while the second arrives and waits or passes by.
  test("keeps every rule whichever two calls overlap on one step", {
    timeout: 60_000,
  }, async () => {
    const lab = await openLab();
    await overlapAll(lab);
    const { violations, rows } = await checkWorkload(lab);
    expect(lab.errors).toEqual([]);
    expect([...violations, ...rows]).toEqual([]);
  });
});
