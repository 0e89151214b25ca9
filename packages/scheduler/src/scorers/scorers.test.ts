import { describe, expect, test } from "vitest";
import type { NodeView } from "../node-view.ts";
import { leastBusy } from "./least-busy.ts";
import { prefers } from "./prefers.ts";

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

  test("takes a step without the field", () => {
    expect(prefers.score({ requires: [] }, tower)).toBe(1);
  });
});
