import { describe, expect, test } from "vitest";
import { defaultRules } from "../rules/default-rules.ts";
import { type Filter, fits, refuses } from "../rules/rule.ts";
import type { JobView, NodeView } from "../views.ts";
import { place } from "./place.ts";

const nodeOf = (name: string, changes: Partial<NodeView> = {}): NodeView => ({
  name,
  capabilities: [],
  online: true,
  lastSeenMs: 400,
  status: "active",
  slots: 2,
  busy: 0,
  ...changes,
});

/** Returns the node of each job by id, or the reason why it has none. */
const where = (jobs: readonly (JobView & { id: string | number })[], nodes: readonly NodeView[]) =>
  Object.fromEntries(
    place(jobs, nodes).map((each) => [each.job, each.placed ? each.node : each.refusal.code]),
  );

const only = (job: Partial<JobView>, nodes: readonly NodeView[]) =>
  where([{ requires: [], ...job, id: "it" }], nodes).it;

describe("place", () => {
  test("takes the least busy node, and the first name among equals", () => {
    expect(only({}, [nodeOf("b"), nodeOf("a")])).toBe("a");
    expect(only({}, [nodeOf("b"), nodeOf("a", { busy: 1 })])).toBe("b");
  });

  test("takes a preferred node even if every other score favours another", () => {
    const fast = nodeOf("fast", { slots: 10, busy: 9, path: "relayed" });
    const job = {
      prefers: [{ clause: "node=fast", weight: 1 }],
      ranOn: ["idle"],
      history: [{ node: "idle", succeeded: 99, failed: 0 }],
      declinedBy: ["fast"],
    };
    expect(only(job, [nodeOf("idle", { path: "direct" }), fast])).toBe("fast");
    expect(only(job, [nodeOf("idle"), { ...fast, busy: 10 }])).toBe("idle");
  });

  test("counts down free slots", () => {
    const jobs = [1, 2, 3, 4].map((id) => ({ id, requires: [] }));
    expect(where(jobs, [nodeOf("a", { slots: 1 }), nodeOf("b", { slots: 2 })])).toEqual({
      1: "a",
      2: "b",
      3: "b",
      4: "no_capable_node_free",
    });
  });

  test("names the full nodes that an unplaced job waits for, and its turn", () => {
    const nodes = [
      nodeOf("b", { busy: 2 }),
      nodeOf("a", { busy: 2, capabilities: ["gpu"] }),
      nodeOf("off", { online: false }),
    ];
    const jobs = [
      { id: 1, requires: [], run: "long", runInFlight: 4 },
      { id: 2, requires: [], run: "long", runInFlight: 4 },
      { id: 3, requires: ["gpu"], run: "short" },
      { id: 4, requires: ["laser"], run: "stuck" },
      { id: 5, requires: [], priority: 1 },
      { id: 6, requires: [], concurrency: { key: "one", limit: 1, running: 1 } },
    ];
    const waiting = place(jobs, nodes).map((each) =>
      each.placed ? each : [each.whenFree, each.turn],
    );
    expect(waiting).toEqual([
      [["a", "b"], 4],
      [["a", "b"], 5],
      [["a"], 1],
      [[], 2],
      [["a", "b"], 0],
      [[], 3],
    ]);
  });

  test("counts the placed jobs against a concurrency key", () => {
    const concurrency = { key: "api", limit: 2, running: 1 };
    const jobs = [1, 2].map((id) => ({ id, requires: [], concurrency }));
    expect(where([...jobs, { id: 3, requires: [] }], [nodeOf("a", { slots: 9 })])).toEqual({
      1: "a",
      2: "concurrency_limit",
      3: "a",
    });
  });

  test("takes urgent jobs first, and among equals the oldest", () => {
    const jobs = [
      { id: 3, requires: [], run: "a" },
      { id: 2, requires: [], run: "a" },
      { id: 9, requires: [], run: "a", priority: 5 },
    ];
    expect(where(jobs, [nodeOf("a", { slots: 2 })])).toMatchObject({
      9: "a",
      2: "a",
      3: "no_capable_node_free",
    });
  });

  test("does not let a run of ten thousand steps starve a run of one", () => {
    const many = Array.from({ length: 10_000 }, (_, id) => ({ id, requires: [], run: "big" }));
    const one = { id: 10_000, requires: [], run: "small" };
    const placements = where([...many, one], [nodeOf("a", { slots: 2 })]);
    expect(placements).toMatchObject({ 0: "a", 10000: "a", 1: "no_capable_node_free" });
  });

  test("gives the only free slot to the run with the fewest jobs on nodes", () => {
    const jobs = [
      { id: 1, requires: [], run: "big", runInFlight: 7 },
      { id: 2, requires: [], run: "small", runInFlight: 0 },
    ];
    expect(where(jobs, [nodeOf("a", { slots: 1 })])).toEqual({
      1: "no_capable_node_free",
      2: "a",
    });
  });

  test("reports why a job got no node, as of the end of the batch", () => {
    const [, second] = place(
      [
        { id: 1, requires: ["has-gpu"] },
        { id: 2, requires: ["has-gpu"] },
      ],
      [nodeOf("tower", { capabilities: ["has-gpu"], slots: 1 })],
    );
    expect(second).toEqual({
      placed: false,
      job: 2,
      refusal: {
        code: "no_capable_node_free",
        summary: "1 node could run it: tower is full (1/1 slots)",
        missing: [],
        fix: "wait for a slot of tower, or give it more slots",
      },
      whenFree: ["tower"],
      turn: 0,
    });
  });

  test("records what decided", () => {
    const nodes = [nodeOf("a"), nodeOf("b", { busy: 1 }), nodeOf("c"), nodeOf("d", { busy: 2 })];
    const [placement] = place([{ id: 1, requires: [] }], nodes, { keep: 2 });
    expect(placement).toMatchObject({
      node: "a",
      record: {
        scores: { prefers: 1, "least-busy": 1, "succeeded-here": 0.5, "not-declined": 1 },
        eligible: 3,
        best: [{ node: "a" }, { node: "c" }],
        decidedBy: "name",
      },
    });
    expect(place([{ id: 1, requires: [] }], nodes.slice(0, 2), { keep: 2 })).toMatchObject([
      { record: { decidedBy: "score" } },
    ]);
    expect(place([{ id: 1, requires: [] }], nodes.slice(0, 1), { keep: 2 })).toMatchObject([
      { record: { decidedBy: "only" } },
    ]);
  });

  test("places with custom rules", () => {
    const site: Filter<JobView & { site: string }, NodeView & { site: string }> = {
      name: "same-site",
      about: "ability",
      check: (job, node) =>
        job.site === node.site ? fits : refuses("other_site", `is in ${node.site}`),
    };
    const rules = {
      filters: [...defaultRules.filters, site],
      scorers: defaultRules.scorers,
    };
    const nodes = [
      { ...nodeOf("a"), site: "Oslo" },
      { ...nodeOf("b"), site: "Paris" },
    ];
    const jobs = ["Paris", "Rome"].map((at, id) => ({ id, requires: [], site: at }));
    expect(place(jobs, nodes, { rules })).toMatchObject([
      { node: "b" },
      {
        refusal: {
          code: "no_capable_node",
          summary: "none of 2 nodes could run it: a is in Oslo, b is in Paris",
        },
      },
    ]);
  });

  test("takes the first name when no scorer decides, and counts an invalid score as 0", () => {
    const nonsense = {
      name: "nonsense",
      about: "ability",
      weight: 1,
      score: () => Number.NaN,
    } as const;
    for (const scorers of [[], [nonsense]]) {
      expect(
        place([{ id: 1, requires: [] }], [nodeOf("b"), nodeOf("a")], {
          rules: { filters: [], scorers },
        }),
      ).toMatchObject([{ node: "a", score: 0 }]);
    }
  });
});
