import fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import { explain } from "../explain.ts";
import type { JobView } from "../job-view.ts";
import type { NodeView } from "../node-view.ts";
import { type Filter, fits, refuses, type Scorer } from "../rule.ts";
import { defaultRules, type Rules } from "../rules.ts";
import type { BatchJob } from "./in-fair-order.ts";
import { place } from "./place.ts";

// Thousands of fleets take seconds, and longer on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

type Job = BatchJob;

// Few names and tags, so that jobs and nodes meet often enough to test both answers.
const NAMES = ["nas", "oracle", "pop-os", "tower"] as const;
const name = fc.constantFrom(...NAMES);

/** Clauses, each with its meaning written a second time. */
const CLAUSES: Record<string, (offered: readonly string[], name: string) => boolean> = {
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
const fleet = fc.uniqueArray(node, { selector: (each) => each.name });

const view = fc.record(
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
    history: fc.uniqueArray(
      fc.record({ node: name, succeeded: fc.nat({ max: 5 }), failed: fc.nat({ max: 5 }) }),
      { selector: (each) => each.node, maxLength: 2 },
    ),
    // Every job of one key has to say the same of it.
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
const jobs: fc.Arbitrary<Job[]> = fc
  .array(view, { maxLength: 10 })
  .map((views) =>
    views.map((each, id) => ({ ...each, id, runInFlight: IN_FLIGHT[each.run ?? ""] ?? 0 })),
  );

/** Whether no machine could be what a job wants. */
const isHopeless = ({ requires }: JobView): boolean =>
  requires.includes("not a clause") ||
  (requires.includes("docker") && requires.includes("!docker"));

/** Whether only a machine of one name will do, which may not be what else the job wants. */
const isBound = ({ host, requires }: JobView): boolean =>
  host != null || requires.includes("node=tower");

const count = (names: readonly string[] = [], wanted: string) =>
  names.filter((each) => each === wanted).length;

/** The filters once more, as one sentence. */
const takes = (job: JobView, each: NodeView): boolean =>
  job.requires.every((text) => CLAUSES[text]?.(each.capabilities, each.name)) &&
  (job.host == null || job.host === each.name) &&
  count(job.declinedBy, each.name) < 3 &&
  count(job.crashedOn, each.name) < 2 &&
  each.online &&
  each.status === "active" &&
  each.busy < each.slots &&
  (!job.concurrency || (job.concurrency.running ?? 0) < job.concurrency.limit);

/** The scorers once more. */
function worth(job: JobView, each: NodeView): number {
  const { prefers = [], history = [], ranOn = [], declinedBy = [] } = job;
  const all = prefers.reduce((sum, { weight }) => sum + weight, 0);
  const met = prefers.filter((wish) => CLAUSES[wish.clause]?.(each.capabilities, each.name));
  const record = history.find((entry) => entry.node === each.name) ?? { succeeded: 0, failed: 0 };
  return (
    5 * (all === 0 ? 1 : met.reduce((sum, { weight }) => sum + weight, 0) / all) +
    Math.max(0, each.slots - each.busy) / Math.max(1, each.slots) +
    (record.succeeded + 1) / (record.succeeded + record.failed + 2) +
    (declinedBy.includes(each.name) ? 0 : 1) +
    0.5 * (ranOn.includes(each.name) ? 1 : 0) +
    0.5 * (each.path === "direct" ? 1 : each.path === "relayed" ? 0 : 0.5)
  );
}

/** Placing once more, without any index: job after job, node after node. */
function placeSlowly(batch: readonly Job[], known: readonly NodeView[]): Map<Job["id"], string> {
  const placed = new Map<Job["id"], string>();
  const left = new Set(batch);
  const onNodes = new Map<string, number>();
  const runOf = (job: Job) => job.run ?? `no run, ${job.workflow ?? ""}`;
  const inFlight = (job: Job) => onNodes.get(runOf(job)) ?? job.runInFlight ?? 0;
  const taken = (wanted: (job: Job, on: string) => boolean) =>
    batch.filter((job) => wanted(job, placed.get(job.id) ?? "")).length;
  while (left.size > 0) {
    const urgent = Math.min(...[...left].map(({ priority = 100 }) => priority));
    const level = batch.filter(({ priority = 100 }) => priority === urgent);
    const oldestOf = (job: Job) => level.findIndex((other) => runOf(other) === runOf(job));
    const [job] = level
      .filter((each) => left.has(each))
      .sort(
        (a, b) =>
          inFlight(a) - inFlight(b) || oldestOf(a) - oldestOf(b) || Number(a.id) - Number(b.id),
      );
    if (job === undefined) break;
    left.delete(job);
    const { concurrency } = job;
    const now = concurrency && {
      ...job,
      concurrency: {
        ...concurrency,
        running:
          (concurrency.running ?? 0) +
          taken((other, on) => on !== "" && other.concurrency?.key === concurrency.key),
      },
    };
    const [best] = known
      .map((each) => ({ ...each, busy: each.busy + taken((_other, on) => on === each.name) }))
      .filter((each) => takes(now ?? job, each))
      .sort((a, b) => {
        const difference = worth(job, b) - worth(job, a);
        return Math.abs(difference) > 1e-5 ? difference : a.name < b.name ? -1 : 1;
      });
    if (best === undefined) continue;
    placed.set(job.id, best.name);
    onNodes.set(runOf(job), inFlight(job) + 1);
  }
  return placed;
}

const chosen = (batch: readonly Job[], known: readonly NodeView[], rules: Rules = defaultRules) =>
  new Map(
    place(batch, known, { rules }).flatMap((each) => (each.placed ? [[each.job, each.node]] : [])),
  );

describe("place", () => {
  test("chooses what trying every node for every job chooses", () => {
    fc.assert(
      fc.property(jobs, fleet, (batch, known) => {
        expect(chosen(batch, known)).toEqual(placeSlowly(batch, known));
      }),
      { numRuns: 10_000 },
    );
  });

  test("never gives a node more than its free slots, nor a job it could not run", () => {
    fc.assert(
      fc.property(jobs, fleet, (batch, known) => {
        const placements = place(batch, known);
        expect(placements.map(({ job }) => job)).toEqual(batch.map(({ id }) => id));
        for (const each of known) {
          const mine = placements.filter((made) => made.placed && made.node === each.name);
          expect(mine.length).toBeLessThanOrEqual(Math.max(0, each.slots - each.busy));
          for (const { job } of mine) {
            expect(takes(batch.find(({ id }) => id === job) as Job, each)).toBe(true);
          }
        }
      }),
      { numRuns: 1_000 },
    );
  });

  test("does not depend on the order of jobs, nodes, capabilities and requirements", () => {
    const shuffled = fc.tuple(jobs, fleet).chain(([batch, known]) =>
      fc.record({
        batch: fc.constant(batch),
        known: fc.constant(known),
        batch2: fc.shuffledSubarray(batch, { minLength: batch.length }),
        known2: fc.shuffledSubarray(known, { minLength: known.length }),
      }),
    );
    fc.assert(
      fc.property(shuffled, ({ batch, known, batch2, known2 }) => {
        const turned = known2.map((each) => ({
          ...each,
          capabilities: each.capabilities.toReversed(),
        }));
        const again = batch2.map((job) => ({ ...job, requires: job.requires.toReversed() }));
        expect(chosen(again, turned)).toEqual(chosen(batch, known));
      }),
      { numRuns: 2_000 },
    );
  });

  test("decides the same by rules that do not say what they read", () => {
    const bare = <Rule extends Filter | Scorer>({ key, named, ...rule }: Rule) => rule as Rule;
    const rules = {
      filters: defaultRules.filters.map(bare),
      scorers: defaultRules.scorers.map(bare),
    };
    fc.assert(
      fc.property(jobs, fleet, (batch, known) => {
        expect(chosen(batch, known, rules)).toEqual(chosen(batch, known));
      }),
      { numRuns: 1_000 },
    );
  });

  test("follows rules of one's own that want nodes busy", () => {
    const packed: Scorer = {
      name: "most-busy",
      about: "availability",
      weight: 1,
      key: () => "",
      score: (_job, { slots, busy }) => busy / Math.max(slots, 1),
    };
    const warm: Filter = {
      name: "is-warm",
      about: "availability",
      key: ({ workflow = "" }) => workflow,
      check: ({ workflow }, { busy }) =>
        workflow === "backup" && busy === 0 ? refuses("cold", "is cold") : fits,
    };
    const rules = { filters: [...defaultRules.filters, warm], scorers: [packed] };
    const slow = {
      filters: rules.filters.map(({ key, named, ...rule }): Filter => rule),
      scorers: rules.scorers.map(({ key, ...rule }): Scorer => rule),
    };
    fc.assert(
      fc.property(jobs, fleet, (batch, known) => {
        expect(chosen(batch, known, rules)).toEqual(chosen(batch, known, slow));
      }),
      { numRuns: 1_000 },
    );
  });

  test("records the nodes that fit, best first, whatever their number", () => {
    fc.assert(
      fc.property(jobs, fleet, fc.integer({ min: 1, max: 3 }), (batch, known, keep) => {
        const [first] = batch;
        if (first === undefined) return;
        const fitting = known.filter((each) => takes(first, each));
        const [placement] = place([first], known, { keep });
        expect(placement?.placed).toBe(fitting.length > 0);
        if (!placement?.placed) return;
        const { eligible, best, decidedBy } = placement.record ?? { best: [] };
        expect(eligible).toBe(fitting.length);
        expect(best).toHaveLength(Math.min(keep, fitting.length));
        expect(best[0]).toEqual({ node: placement.node, score: placement.score });
        expect(decidedBy === "only").toBe(fitting.length === 1);
        const reports = explain(first, known).nodes.filter(({ score }) => score !== null);
        for (const { node: other, score } of best) {
          expect(reports.find((report) => report.node === other)?.score).toBe(score);
        }
      }),
      { numRuns: 2_000 },
    );
  });

  test("says of a job without a node what explaining it says", () => {
    fc.assert(
      fc.property(view, fleet, (job, known) => {
        const { code, summary, missing, fix } = explain(job, known);
        const [placement] = place([{ ...job, id: 1 }], known);
        if (placement?.placed) return;
        const told = { code, summary, missing, fix: fix?.action ?? null };
        expect(placement?.refusal).toEqual(told);
      }),
      { numRuns: 2_000 },
    );
  });

  test("leaves what it was given as it was", () => {
    fc.assert(
      fc.property(jobs, fleet, (batch, known) => {
        const before = structuredClone({ batch, known });
        place(batch, known, { keep: 2 });
        expect({ batch, known }).toEqual(before);
      }),
    );
  });
});

describe("explain", () => {
  test("calls exactly those nodes eligible that a job alone could be placed on", () => {
    fc.assert(
      fc.property(view, fleet, (job, known) => {
        const explanation = explain(job, known);
        const eligible = explanation.nodes.filter(({ verdict }) => verdict === "eligible");
        const fitting = known.filter((each) => takes(job, each)).map((each) => each.name);
        expect(eligible.map((report) => report.node)).toEqual(fitting.toSorted());
        expect(explanation.eligible).toBe(fitting.length);
        const [placement] = place([{ ...job, id: 1 }], known);
        expect(placement?.placed).toBe(explanation.code === "placeable");
        expect(explanation.code === "placeable").toBe(fitting.length > 0);
      }),
      { numRuns: 10_000 },
    );
  });

  test("suggests a fix that makes the job placeable, except where no machine could be what it wants", () => {
    fc.assert(
      fc.property(view, fleet, (job, known) => {
        const { code, fix } = explain(job, known);
        if (code === "placeable" || isHopeless(job)) return void expect(fix).toBe(null);
        if (fix === null) return void expect(isBound(job)).toBe(true);
        const others = known.filter((each) => each.name !== fix.node.name);
        const after = explain(fix.job, [...others, fix.node]);
        expect(after.code).toBe("placeable");
        expect(fix.action).not.toBe("");
      }),
      { numRuns: 10_000 },
    );
  });

  test("tells every node, with every failing clause", () => {
    fc.assert(
      fc.property(view, fleet, (job, known) => {
        const { nodes, groups, clauses } = explain(job, known);
        expect(nodes.map((report) => report.node)).toEqual(
          known.map((each) => each.name).toSorted(),
        );
        expect(groups.reduce((sum, { count: size }) => sum + size, 0)).toBe(known.length);
        for (const report of nodes) {
          const each = known.find((other) => other.name === report.node) as NodeView;
          const unmet = job.requires.filter(
            (text) => !CLAUSES[text]?.(each.capabilities, each.name),
          );
          expect(report.clauses.filter(({ met }) => !met).map((told) => told.clause)).toEqual(
            unmet,
          );
          const failed = report.failures.flatMap((failure) => failure.clause ?? []);
          expect(failed.toSorted()).toEqual(unmet.toSorted());
        }
        for (const { clause: text, met } of clauses) {
          const meeting = known.filter((each) => CLAUSES[text]?.(each.capabilities, each.name));
          expect(met).toBe(meeting.length);
        }
      }),
      { numRuns: 2_000 },
    );
  });
});
