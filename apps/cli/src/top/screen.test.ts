import type { JobSummary, Node, RunSummary } from "@loom/client";
import { describe, expect, test } from "vitest";
import { toScreen } from "./screen.ts";

const node = (name: string, running: number): Node =>
  ({ name, online: true, status: "active", statusNote: null, running, slots: 4 }) as Node;
const run = (at: number): RunSummary =>
  ({
    id: `${at}`.padStart(8, "0"),
    workflow: "visit",
    steps: { running: 1 },
    nodes: ["pi"],
    createdAt: new Date().toISOString(),
  }) as RunSummary;
const job = (id: number): JobSummary =>
  ({ id, workflow: "train", step: "fit", waitingReason: null }) as JobSummary;

const fleet = {
  nodes: [node("pi", 2), node("tower", 0)],
  runs: Array.from({ length: 40 }, (_, at) => run(at)),
  waiting: Array.from({ length: 40 }, (_, at) => job(at)),
};

describe("the screen of loom top", () => {
  test.for([
    [80, 24],
    [40, 10],
    [200, 60],
    [10, 3],
    [1, 1],
  ] as const)("fits %i columns and %i lines", ([width, height]) => {
    const lines = toScreen(fleet, { width, height });
    expect(lines.length).toBeLessThanOrEqual(height);
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(width);
  });

  test("shows every machine, and shares the rest between runs and what waits", () => {
    const lines = toScreen(fleet, { width: 80, height: 24 });
    expect(lines.filter((line) => /^(pi|tower) /.test(line))).toHaveLength(2);
    expect(lines[2]).toMatch(/^pi +active +##\.\. 2\/4$/);
    const runs = lines.filter((line) => line.includes("visit"));
    const jobs = lines.filter((line) => line.startsWith("job "));
    expect(runs.length).toBeGreaterThan(5);
    expect(jobs.length).toBeGreaterThan(5);
  });

  test("gives lines that nothing waits for to runs", () => {
    const lines = toScreen({ ...fleet, waiting: [] }, { width: 80, height: 24 });
    expect(lines.filter((line) => line.includes("visit")).length).toBeGreaterThan(15);
  });
});
