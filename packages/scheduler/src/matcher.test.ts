import { describe, expect, test } from "vitest";
import { type Filter, fits } from "./filter.ts";
import { createMatcher, defaultFilters, defaultScorers, place, placeAll } from "./matcher.ts";
import type { NodeView } from "./node-view.ts";
import type { Placement } from "./placement.ts";
import type { StepView } from "./step-view.ts";

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

const offline = { online: false, lastSeenMs: 190_000 } as const;
const full = { busy: 2 } as const;
const gpu = { requires: ["has-gpu"] };
const withGpu = { capabilities: ["has-gpu"] };

const chosen = (placement: Placement) => (placement.placed ? placement.node : placement.summary);

describe("place", () => {
  test("chooses the node that fits, and says why the others do not", () => {
    const nodes = [
      nodeOf("tower", withGpu),
      nodeOf("oracle"),
      nodeOf("pop-os", { ...withGpu, ...full }),
    ];
    expect(place(gpu, nodes)).toEqual({
      placed: true,
      node: "tower",
      score: 1,
      eligible: [{ node: "tower", score: 1 }],
      rejected: [
        {
          node: "oracle",
          failures: [
            {
              filter: "has-capabilities",
              about: "ability",
              code: "missing_capability",
              reason: "lacks has-gpu",
              missing: ["has-gpu"],
            },
          ],
        },
        {
          node: "pop-os",
          failures: [
            {
              filter: "has-free-slot",
              about: "availability",
              code: "full",
              reason: "is full (2/2 slots)",
            },
          ],
        },
      ],
    });
  });

  test("collects everything that speaks against a node", () => {
    const wreck = nodeOf("wreck", { ...offline, ...full, status: "draining" });
    const { rejected } = place({ ...gpu, host: "tower" }, [wreck]);
    expect(rejected[0]?.failures.map(({ code }) => code)).toEqual([
      "wrong_host",
      "missing_capability",
      "offline",
      "draining",
      "full",
    ]);
  });

  test("takes the least busy node, and the first name among equals", () => {
    expect(chosen(place({ requires: [] }, [nodeOf("b"), nodeOf("a")]))).toBe("a");
    expect(chosen(place({ requires: [] }, [nodeOf("b"), nodeOf("a", { busy: 1 })]))).toBe("b");
  });

  test("takes a preferred node although it is busier", () => {
    const nodes = [nodeOf("idle", { slots: 10 }), nodeOf("fast", { slots: 10, busy: 9 })];
    const step = { requires: [], prefers: [{ clause: "node=fast", weight: 1 }] };
    expect(place(step, nodes)).toMatchObject({
      node: "fast",
      eligible: [{ node: "fast" }, { node: "idle" }],
    });
  });

  test("takes another node when the preferred one is full", () => {
    const nodes = [nodeOf("idle"), nodeOf("fast", full)];
    const step = { requires: [], prefers: [{ clause: "node=fast", weight: 1 }] };
    expect(chosen(place(step, nodes))).toBe("idle");
  });

  test.for([
    {
      title: "no node at all",
      step: gpu,
      nodes: [],
      code: "no_nodes",
      missing: ["has-gpu"],
      summary: "no node is known",
    },
    {
      title: "a clause that nobody offers",
      step: { requires: ["docker", "has-gpu"] },
      nodes: [nodeOf("pop-os", { capabilities: ["docker"] }), nodeOf("oracle", offline)],
      code: "no_capable_node",
      missing: ["has-gpu"],
      summary: "no known node offers has-gpu (nodes: oracle, pop-os)",
    },
    {
      title: "clauses that no node offers together",
      step: { requires: ["docker", "has-gpu"] },
      nodes: [nodeOf("a", { capabilities: ["docker"], busy: 2 }), nodeOf("b", withGpu)],
      code: "no_capable_node",
      missing: [],
      summary: "none of 2 nodes could run it: a lacks has-gpu, b lacks docker",
    },
    {
      title: "a host that nobody knows",
      step: { requires: [], host: "tower" },
      nodes: [nodeOf("pop-os"), nodeOf("oracle")],
      code: "no_capable_node",
      missing: [],
      summary:
        "the step is pinned to tower, and no known node has that name (nodes: oracle, pop-os)",
    },
    {
      title: "a host that lacks what another node offers",
      step: { ...gpu, host: "oracle" },
      nodes: [nodeOf("oracle"), nodeOf("tower", withGpu)],
      code: "no_capable_node",
      missing: [],
      summary: "the step is pinned to a node that cannot run it: oracle lacks has-gpu",
    },
    {
      title: "the only node offline",
      step: gpu,
      nodes: [nodeOf("pop-os", { ...withGpu, ...offline }), nodeOf("oracle")],
      code: "no_capable_node_online",
      missing: [],
      summary: "1 node could run it: pop-os is offline (last seen 3 min ago)",
    },
    {
      title: "capable nodes offline and full",
      step: gpu,
      nodes: [
        nodeOf("tower", { ...withGpu, ...full }),
        nodeOf("pop-os", { ...withGpu, ...offline }),
        nodeOf("oracle"),
      ],
      code: "no_capable_node_free",
      missing: [],
      summary:
        "2 nodes could run it: pop-os is offline (last seen 3 min ago), tower is full (2/2 slots)",
    },
    {
      title: "a paused host that is full too",
      step: { requires: [], host: "tower" },
      nodes: [nodeOf("tower", { ...full, status: "paused" }), nodeOf("oracle")],
      code: "no_capable_node_free",
      missing: [],
      summary: "1 node could run it: tower is paused and is full (2/2 slots)",
    },
  ] as const)("explains $title", ({ step, nodes, code, missing, summary }) => {
    expect(place(step, nodes)).toMatchObject({ placed: false, code, missing, summary });
  });

  test("names eight nodes and counts the rest", () => {
    const nodes = Array.from({ length: 10 }, (_, index) => nodeOf(`n${index}`));
    expect(chosen(place(gpu, nodes))).toBe(
      "no known node offers has-gpu (nodes: n0, n1, n2, n3, n4, n5, n6, n7 and 2 more)",
    );
  });
});

describe("placeAll", () => {
  test("counts down free slots, first come first served", () => {
    const batch = ["one", "two", "three", "four"].map((id) => ({ id, step: { requires: [] } }));
    const placements = placeAll(batch, [nodeOf("a", { slots: 1 }), nodeOf("b", { slots: 2 })]);
    expect(placements.map(({ id, placement }) => [id, chosen(placement)])).toEqual([
      ["one", "a"],
      ["two", "b"],
      ["three", "b"],
      ["four", "2 nodes could run it: a is full (1/1 slots), b is full (2/2 slots)"],
    ]);
  });

  test("goes on after a step that fits nowhere", () => {
    const batch = [
      { id: 1, step: gpu },
      { id: 2, step: { requires: [] } },
    ];
    const placements = placeAll(batch, [nodeOf("a")]);
    expect(placements.map(({ placement }) => placement.placed)).toEqual([false, true]);
  });
});

describe("createMatcher", () => {
  const site: Filter<StepView & { site: string }, NodeView & { site: string }> = {
    name: "same-site",
    about: "ability",
    check: (step, node) =>
      step.site === node.site
        ? fits
        : { fits: false, code: "other_site", reason: `is in ${node.site}` },
  };

  test("places with rules of one's own", () => {
    const matcher = createMatcher({ filters: [...defaultFilters, site], scorers: defaultScorers });
    const nodes = [
      { ...nodeOf("a"), site: "Oslo" },
      { ...nodeOf("b"), site: "Paris" },
    ];
    expect(matcher.place({ requires: [], site: "Paris" }, nodes)).toMatchObject({
      node: "b",
      rejected: [{ node: "a", failures: [{ filter: "same-site", code: "other_site" }] }],
    });
    expect(matcher.place({ requires: [], site: "Rome" }, nodes)).toMatchObject({
      code: "no_capable_node",
      summary: "none of 2 nodes could run it: a is in Oslo, b is in Paris",
    });
  });

  test("takes the first name when nothing scores", () => {
    const matcher = createMatcher({ filters: [], scorers: [] });
    expect(matcher.place({ requires: [] }, [nodeOf("b"), nodeOf("a")])).toMatchObject({
      node: "a",
      score: 0,
    });
  });
});
