import { describe, expect, test } from "vitest";
import { defaultRules } from "../rules/default-rules.ts";
import { type Filter, refuses } from "../rules/rule.ts";
import type { JobView, NodeView } from "../views.ts";
import { explain } from "./explain.ts";
import { verdict } from "./verdict.ts";

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
const gpu: JobView = { requires: ["has-gpu"] };
const withGpu = { capabilities: ["has-gpu"] };

interface Case {
  title: string;
  job: JobView;
  nodes: NodeView[];
  code: string;
  verdict: string;
  summary: string;
  fix: string | null;
  missing?: string[];
}

const cases: Case[] = [
  {
    title: "a node that takes it",
    job: gpu,
    nodes: [nodeOf("tower", withGpu), nodeOf("nas")],
    code: "placeable",
    verdict: "now",
    summary: "1 node can take it now",
    fix: null,
  },
  {
    title: "no node at all",
    job: gpu,
    nodes: [],
    code: "no_nodes",
    verdict: "never",
    missing: ["has-gpu"],
    summary: "no node is known",
    fix: "start an agent on another machine, offering has-gpu",
  },
  {
    title: "a clause that no node offers",
    job: { requires: ["docker", "has-gpu"] },
    nodes: [nodeOf("pop-os", { capabilities: ["docker"] }), nodeOf("oracle", offline)],
    code: "no_capable_node",
    verdict: "never",
    missing: ["has-gpu"],
    summary: "no known node offers has-gpu (nodes: oracle, pop-os)",
    fix: "add has-gpu to pop-os",
  },
  {
    title: "clauses that no node offers together",
    job: { requires: ["docker", "has-gpu"] },
    nodes: [nodeOf("a", { capabilities: ["docker"], busy: 2 }), nodeOf("b", withGpu)],
    code: "no_capable_node",
    verdict: "never",
    summary: "none of 2 nodes could run it: a lacks has-gpu, b lacks docker",
    fix: "add docker to b",
  },
  {
    title: "a machine of another kind",
    job: { requires: ["os=darwin", "has-xcode"] },
    nodes: [nodeOf("pop-os", { capabilities: ["os=linux"] })],
    code: "no_capable_node",
    verdict: "never",
    missing: ["os=darwin", "has-xcode"],
    summary: "no known node offers os=darwin, has-xcode (nodes: pop-os)",
    fix: "start an agent on another machine, offering os=darwin, has-xcode",
  },
  {
    title: "an unknown host",
    job: { requires: [], host: "tower" },
    nodes: [nodeOf("pop-os"), nodeOf("oracle")],
    code: "no_capable_node",
    verdict: "never",
    summary: "the step is pinned to tower, and no known node has that name (nodes: oracle, pop-os)",
    fix: "pin the step to oracle",
  },
  {
    title: "a host that lacks what another node offers",
    job: { ...gpu, host: "oracle" },
    nodes: [nodeOf("oracle"), nodeOf("tower", withGpu)],
    code: "no_capable_node",
    verdict: "never",
    summary: "the step is pinned to a node that cannot run it: oracle lacks has-gpu",
    fix: "add has-gpu to oracle",
  },
  {
    title: "nodes with other code, or none",
    job: { requires: ["has-gpu", "workflow:train@bbb"] },
    nodes: [
      nodeOf("tower", { capabilities: ["has-gpu", "workflow:train@aaa"] }),
      nodeOf("forge", withGpu),
      nodeOf("nas"),
    ],
    code: "no_version",
    verdict: "no-version",
    missing: ["workflow:train@bbb"],
    summary:
      "no node has its code: forge does not have the code of workflow train, and accepts none, tower has version aaa of workflow train, not bbb, and accepts none",
    fix: "let forge accept code, or bring the workflow's file to it",
  },
  {
    title: "nodes that gave it back",
    job: { ...gpu, declinedBy: ["tower", "tower", "tower"], excluded: ["tower"] },
    nodes: [nodeOf("tower", withGpu), nodeOf("nas")],
    code: "excluded",
    verdict: "when-free",
    summary: "no node is left to try: tower declined it 3 times",
    fix: "add has-gpu to nas",
  },
  {
    title: "the only node offline",
    job: gpu,
    nodes: [nodeOf("pop-os", { ...withGpu, ...offline }), nodeOf("oracle")],
    code: "no_capable_node_online",
    verdict: "known-but-offline",
    summary: "1 node could run it: pop-os is offline (last seen 3 min ago)",
    fix: "start the agent of pop-os",
  },
  {
    title: "nodes that are paused or draining",
    job: gpu,
    nodes: [
      nodeOf("tower", { ...withGpu, status: "draining", ...full }),
      nodeOf("pop-os", { ...withGpu, status: "paused" }),
      nodeOf("nas", { ...withGpu, ...offline, status: "paused" }),
    ],
    code: "no_capable_node_active",
    verdict: "drained",
    summary:
      "3 nodes could run it: nas is offline (last seen 3 min ago) and is paused, pop-os is paused, tower is draining and is full (2/2 slots)",
    fix: "resume pop-os",
  },
  {
    title: "a concurrency key that is full",
    job: { ...gpu, concurrency: { key: "api", limit: 1, running: 1 } },
    nodes: [nodeOf("tower", withGpu)],
    code: "concurrency_limit",
    verdict: "when-free",
    summary: "1 node could run it: tower may not run a further job of api (1/1 run)",
    fix: "wait for a job of api to end, or raise its limit",
  },
  {
    title: "capable nodes offline and full",
    job: gpu,
    nodes: [
      nodeOf("tower", { ...withGpu, ...full }),
      nodeOf("pop-os", { ...withGpu, ...offline }),
      nodeOf("oracle"),
    ],
    code: "no_capable_node_free",
    verdict: "when-free",
    summary:
      "2 nodes could run it: pop-os is offline (last seen 3 min ago), tower is full (2/2 slots)",
    fix: "start the agent of pop-os",
  },
];

describe("explain", () => {
  test.for(cases)("explains $title", ({ job, nodes, code, summary, fix, missing = [] }) => {
    const explanation = explain(job, nodes);
    expect(explanation).toMatchObject({ code, summary, missing });
    expect(explanation.fix?.action ?? null).toBe(fix);
  });

  test("reports every clause at every node, every failure, and the nearest miss", () => {
    const job = { requires: ["gpu.vram-gb>=24", "!on-battery"], host: "nas" };
    const laptop = nodeOf("laptop", {
      ...offline,
      capabilities: ["on-battery", "gpu.vram-gb=12"],
    });
    const { nodes, clauses, nearest, didYouMean } = explain(job, [laptop, nodeOf("tower")]);
    expect(nodes).toMatchObject([
      {
        node: "laptop",
        eligibility: "ineligible",
        score: null,
        failures: [
          { filter: "is-host", about: "ability", code: "wrong_host" },
          { code: "missing_capability", clause: "gpu.vram-gb>=24", seen: ["gpu.vram-gb=12"] },
          { code: "missing_capability", clause: "!on-battery", seen: ["on-battery"] },
          { code: "offline", about: "availability" },
        ],
        clauses: [
          { clause: "gpu.vram-gb>=24", met: false, seen: ["gpu.vram-gb=12"] },
          { clause: "!on-battery", met: false, seen: ["on-battery"] },
        ],
      },
      { node: "tower", clauses: [{ met: false, seen: [] }, { met: true }] },
    ]);
    expect(clauses).toEqual([
      { clause: "gpu.vram-gb>=24", met: 0 },
      { clause: "!on-battery", met: 1 },
    ]);
    expect(nearest).toMatchObject({ node: "tower", eligibility: "ineligible" });
    expect(didYouMean).toEqual([]);
  });

  test.for([
    { job: { requires: [], host: "tover" }, written: "tover", known: ["tower"] },
    { job: { requires: ["node=tover"] }, written: "tover", known: ["tower"] },
    { job: { requires: ["has-gpus"] }, written: "has-gpus", known: ["has-gpu"] },
    { job: { requires: ["gpu.vram>=24"] }, written: "gpu.vram", known: ["gpu.vram-gb"] },
    { job: { requires: ["arch=x86-64"] }, written: "x86-64", known: ["x86_64"] },
    { job: { requires: ["Has-GPU"] }, written: "Has-GPU", known: ["has-gpu"] },
    { job: { requires: ["cuda"] }, written: "cuda", known: ["CUDA"] },
    { job: { requires: ["site=oslo"] }, written: "oslo", known: ["Oslo"] },
    { job: { requires: ["site in (OSLO)"] }, written: "OSLO", known: ["Oslo"] },
    { job: { requires: [], host: "TOWER" }, written: "TOWER", known: ["tower"] },
  ])("suggests known names for $job", ({ job, written, known }) => {
    const tower = nodeOf("tower", {
      capabilities: ["has-gpu", "gpu.vram-gb=24", "arch=x86_64", "CUDA", "site=Oslo"],
    });
    expect(explain(job, [tower]).didYouMean).toEqual([{ written, known }]);
  });

  test("does not count a negated name as a misspelling", () => {
    const tower = nodeOf("tower", { capabilities: ["arch=x86_64"] });
    expect(explain({ requires: ["arch!=x86_64"] }, [tower]).didYouMean).toEqual([]);
  });

  test.for([
    [["cpus>=8", "cpus<4"], null, "cpus>=8 and cpus<4"],
    [["docker", "vram-gb>=24", "has-gpu", "vram-gb<8"], null, "vram-gb>=24 and vram-gb<8"],
    [["docker", "!docker"], null, "docker and !docker"],
    [["node=nas"], "tower", "node=nas and host tower"],
  ] as const)(
    "says that %j contradict each other, and proposes no fix",
    ([requires, host, clauses]) => {
      const job = { requires, host };
      const summary = `no machine can meet ${clauses} together: the step has to require something else`;
      const nodes = [nodeOf("nas"), nodeOf("tower", { capabilities: ["docker", "cpus=6"] })];
      expect(explain(job, nodes)).toMatchObject({ code: "no_capable_node", summary, fix: null });
      expect(explain(job, [])).toMatchObject({ code: "no_nodes", summary, fix: null });
    },
  );

  test.for([
    [["vram-gb>4", "vram-gb>=24"], "add vram-gb=24 to nas"],
    [["vram-gb>4", "vram-gb<24"], "add vram-gb=5 to nas"],
  ] as const)("proposes one value for %j", ([requires, action]) => {
    expect(explain({ requires }, [nodeOf("nas")]).fix?.action).toBe(action);
  });

  test("never proposes to change what a machine is", () => {
    const job = { requires: ["cpus>=8", "memory-gb>=32"] };
    const nas = nodeOf("nas", { capabilities: ["cpus=4", "memory-gb=8"] });
    expect(explain(job, [nas]).fix?.action).toBe(
      "start an agent on another machine, offering cpus=8, memory-gb=32",
    );
  });

  test("groups many nodes, and counts their failures", () => {
    const nodes = Array.from({ length: 60 }, (_, index) =>
      nodeOf(`n${index + 10}`, {
        ...(index % 2 === 0 && withGpu),
        ...(index % 4 === 0 ? offline : full),
      }),
    );
    const { summary, groups, nodes: reported } = explain(gpu, nodes);
    expect(reported).toEqual([]);
    expect(summary).toBe("30 nodes could run it: 15 full, 15 offline");
    expect(groups.map(({ eligibility, count }) => [eligibility, count])).toEqual([
      ["ineligible", 30],
      ["offline", 15],
      ["full", 15],
    ]);
    expect(groups[0]).toMatchObject({
      failures: [{ code: "missing_capability" }, { code: "full" }],
      nodes: ["n11", "n13", "n15", "n17", "n19", "n21", "n23", "n25"],
    });
  });

  test("suggests no fix for a rule that has none, and reports its reason", () => {
    const asleep: Filter = {
      name: "is-awake",
      about: "availability",
      check: (_job, { name }) => refuses("asleep", `sleeps until ${name} o'clock`),
    };
    const rules = { ...defaultRules, filters: [...defaultRules.filters, asleep] };
    expect(explain({ requires: [] }, [nodeOf("7")], { rules })).toMatchObject({
      code: "no_capable_node_free",
      summary: "1 node could run it: 7 sleeps until 7 o'clock",
      nodes: [{ eligibility: "unavailable" }],
      fix: null,
    });
  });
});

describe("verdict", () => {
  test.for(cases)(
    "is $verdict for $title",
    ({ job, nodes, code, summary, fix, verdict: expected }) => {
      expect(verdict(job, nodes)).toEqual({
        verdict: expected,
        code,
        summary,
        fix,
        didYouMean: [],
      });
    },
  );
});
