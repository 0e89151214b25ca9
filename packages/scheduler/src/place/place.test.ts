import { describe, expect, test } from "vitest";
import type { JobView } from "../job-view.ts";
import type { NodeView } from "../node-view.ts";
import { type Filter, fits, refuses } from "../rule.ts";
import { defaultRules } from "../rules.ts";
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

/** Where each job goes, by id; the reason of those that go nowhere. */
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

  test("takes a preferred node although everything else speaks for another", () => {
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

  test("counts against a concurrency key what it places", () => {
    const concurrency = { key: "api", limit: 2, running: 1 };
    const jobs = [1, 2].map((id) => ({ id, requires: [], concurrency }));
    expect(where([...jobs, { id: 3, requires: [] }], [nodeOf("a", { slots: 9 })])).toEqual({
      1: "a",
      2: "concurrency_limit",
      3: "a",
    });
  });

  test("takes urgent jobs first, and old ones among equals", () => {
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

  test("gives the one slot that is free to the run that has least", () => {
    const jobs = [
      { id: 1, requires: [], run: "big", runInFlight: 7 },
      { id: 2, requires: [], run: "small", runInFlight: 0 },
    ];
    expect(where(jobs, [nodeOf("a", { slots: 1 })])).toEqual({
      1: "no_capable_node_free",
      2: "a",
    });
  });

  test("says at the end of the batch why a job got no node", () => {
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
        fix: "wait for a slot of tower, or give it more",
      },
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

  test("places with rules of one's own", () => {
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

  test("takes the first name when nothing scores, and nonsense of a scorer for 0", () => {
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
