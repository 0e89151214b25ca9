import fc from "fast-check";
import type { BatchJob } from "../src/place/fair-order.ts";
import type { JobView, NodeView } from "../src/views.ts";

// Few names and tags, so that jobs match nodes often enough to test both answers.
const NAMES = ["nas", "oracle", "pop-os", "tower"] as const;
const name = fc.constantFrom(...NAMES);

/** Clauses, each with a second implementation of its meaning. */
export const CLAUSES: Record<string, (offered: readonly string[], name: string) => boolean> = {
  docker: (offered) => offered.includes("docker"),
  "!docker": (offered) => !offered.includes("docker"),
  "os=linux": (offered) => offered.includes("os=linux"),
  "os in (linux, darwin)": (offered) =>
    offered.includes("os=linux") || offered.includes("os=darwin"),
  "vram-gb>=24": (offered) => offered.includes("vram-gb=24") || offered.includes("vram-gb=48"),
  "vram-gb<24 | docker": (offered) => offered.includes("vram-gb=8") || offered.includes("docker"),
  "!vram-gb>24": (offered) => !offered.includes("vram-gb=48"),
  "node-version>24.9": (offered) => offered.includes("node-version=24.10"),
  "node=tower": (_offered, own) => own === "tower",
  "workflow:deploy@b": (offered) => offered.includes("workflow:deploy@b"),
  "not a clause": () => false,
};
const clause = fc.constantFrom(...Object.keys(CLAUSES));
const OFFERED = [
  "docker",
  "os=linux",
  "os=darwin",
  "vram-gb=8",
  "vram-gb=24",
  "vram-gb=48",
  "node-version=24.9",
  "node-version=24.10",
  "workflow:deploy@a",
  "workflow:deploy@b",
];

const node: fc.Arbitrary<NodeView> = fc.record({
  name,
  capabilities: fc.subarray(OFFERED),
  online: fc.constantFrom(true, true, true, false),
  lastSeenMs: fc.option(fc.nat()),
  status: fc.constantFrom("active", "active", "active", "paused", "draining"),
  slots: fc.nat({ max: 4 }),
  busy: fc.nat({ max: 3 }),
  path: fc.constantFrom("direct", "relayed", null),
});
export const fleet = fc.uniqueArray(node, { selector: (each) => each.name });

export const view = fc.record(
  {
    requires: fc.uniqueArray(clause, { maxLength: 2 }),
    host: fc.option(name, { freq: 2 }),
    prefers: fc.array(fc.record({ clause, weight: fc.integer({ min: 1, max: 9 }) }), {
      maxLength: 2,
    }),
    priority: fc.constantFrom(1, 100, 100),
    run: fc.constantFrom("r1", "r1", "r2", "r3", null),
    workflow: fc.constantFrom("deploy", "backup"),
    ranOn: fc.uniqueArray(name, { maxLength: 2 }),
    declinedBy: fc.array(name, { maxLength: 4 }),
    crashedOn: fc.array(name, { maxLength: 3 }),
    excluded: fc.uniqueArray(name, { maxLength: 2 }),
    history: fc.uniqueArray(
      fc.record({ node: name, succeeded: fc.nat({ max: 5 }), failed: fc.nat({ max: 5 }) }),
      { selector: (each) => each.node, maxLength: 2 },
    ),
    // Every job with one key must have the same limit.
    concurrency: fc.constantFrom(
      null,
      { key: "api", limit: 2 },
      { key: "disk", limit: 2, running: 1 },
      { key: "full", limit: 1, running: 1 },
    ),
  },
  { requiredKeys: ["requires"] },
);
const IN_FLIGHT: Record<string, number> = { r1: 2, r2: 1, r3: 0 };
export const jobs: fc.Arbitrary<BatchJob[]> = fc
  .array(view, { maxLength: 10 })
  .map((views) =>
    views.map((each, id) => ({ ...each, id, runInFlight: IN_FLIGHT[each.run ?? ""] ?? 0 })),
  );

/** A second implementation of the filters in one expression. */
export const takes = (job: JobView, each: NodeView): boolean =>
  job.requires.every((text) => CLAUSES[text]?.(each.capabilities, each.name)) &&
  (job.host == null || job.host === each.name) &&
  !job.excluded?.includes(each.name) &&
  each.online &&
  each.status === "active" &&
  each.busy < each.slots &&
  (!job.concurrency || (job.concurrency.running ?? 0) < job.concurrency.limit);
