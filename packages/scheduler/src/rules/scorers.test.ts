import { describe, expect, test } from "vitest";
import type { JobView, NodeView } from "../views.ts";
import type { Scorer } from "./rule.ts";
import { directPath, leastBusy, nearRun, notDeclined, prefers, succeededHere } from "./scorers.ts";

const tower: NodeView = {
  name: "tower",
  capabilities: ["docker", "ssd"],
  online: true,
  lastSeenMs: 0,
  status: "active",
  slots: 4,
  busy: 0,
};

describe("leastBusy", () => {
  test.for([
    { busy: 0, slots: 4, score: 1 },
    { busy: 1, slots: 4, score: 0.75 },
    { busy: 4, slots: 4, score: 0 },
    { busy: 5, slots: 4, score: 0 },
    { busy: 0, slots: 0, score: 0 },
  ])("scores $busy of $slots slots taken as $score", ({ busy, slots, score }) => {
    expect(leastBusy.score({ requires: [] }, { ...tower, busy, slots })).toBe(score);
  });
});

describe("prefers", () => {
  test.for([
    { title: "no preferences as met", clauses: {}, score: 1 },
    { title: "all met", clauses: { ssd: 1, docker: 3 }, score: 1 },
    { title: "none met", clauses: { hdd: 1 }, score: 0 },
    { title: "the share of the weights met", clauses: { ssd: 1, gpu: 3 }, score: 0.25 },
    { title: "the node itself", clauses: { "node=tower": 1 }, score: 1 },
    { title: "an unreadable clause as unmet", clauses: { "has gpu": 1, ssd: 1 }, score: 0.5 },
  ])("scores $title", ({ clauses, score }) => {
    const preferences = Object.entries(clauses).map(([clause, weight]) => ({ clause, weight }));
    expect(prefers.score({ requires: [], prefers: preferences }, tower)).toBe(score);
  });

  test("accepts a step without the field", () => {
    expect(prefers.score({ requires: [] }, tower)).toBe(1);
  });
});

describe("the other scorers", () => {
  const history = (succeeded: number, failed: number) => ({
    history: [
      { node: "nas", succeeded: 9, failed: 0 },
      { node: "tower", succeeded, failed },
    ],
  });
  test.for<{
    title: string;
    scorer: Scorer;
    job?: Partial<JobView>;
    node?: Partial<NodeView>;
    score: number;
  }>([
    { title: "no history in the middle", scorer: succeededHere, score: 0.5 },
    { title: "one success", scorer: succeededHere, job: history(1, 0), score: 2 / 3 },
    { title: "a long record higher", scorer: succeededHere, job: history(98, 0), score: 0.99 },
    { title: "failures", scorer: succeededHere, job: history(0, 3), score: 0.2 },
    { title: "a node that has not declined", scorer: notDeclined, score: 1 },
    {
      title: "a node that has declined",
      scorer: notDeclined,
      job: { declinedBy: ["nas", "tower"] },
      score: 0,
    },
    { title: "a node that is new to the run", scorer: nearRun, job: { ranOn: ["nas"] }, score: 0 },
    { title: "a node that the run knows", scorer: nearRun, job: { ranOn: ["tower"] }, score: 1 },
    { title: "a direct path", scorer: directPath, node: { path: "direct" }, score: 1 },
    { title: "a relayed path", scorer: directPath, node: { path: "relayed" }, score: 0 },
    { title: "an unknown path", scorer: directPath, score: 0.5 },
  ])("score $title", ({ scorer, job, node, score }) => {
    expect(scorer.score({ requires: [], ...job }, { ...tower, ...node })).toBeCloseTo(score);
  });
});
