import { randomInt } from "node:crypto";
import { describe, expect, test } from "vitest";
import { openLab } from "./history-support/lab.ts";
import { overlapAll } from "./history-support/overlap.ts";
import { judge, runWorkload } from "./history-support/verdict.ts";

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

  // Of each two calls the first holds its locks while the second comes, is let wait, or passes by.
  test("keeps every rule whichever two calls overlap on one step", {
    timeout: 60_000,
  }, async () => {
    const lab = await openLab();
    await overlapAll(lab);
    const { violations, rows } = await judge(lab);
    expect(lab.errors).toEqual([]);
    expect([...violations, ...rows]).toEqual([]);
  });
});
