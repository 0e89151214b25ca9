import fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import { placeSlowly } from "../../test/place-slowly.ts";
import { fleet, jobs, takes, view } from "../../test/random-fleets.ts";
import { explain } from "../explain/explain.ts";
import { defaultRules } from "../rules/default-rules.ts";
import { type Filter, fits, type Rules, refuses, type Scorer } from "../rules/rule.ts";
import type { NodeView } from "../views.ts";
import type { BatchJob } from "./fair-order.ts";
import { place } from "./place.ts";

// Thousands of fleets take seconds, and longer on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

type Job = BatchJob;

const chosen = (batch: readonly Job[], known: readonly NodeView[], rules: Rules = defaultRules) =>
  new Map(
    place(batch, known, { rules }).flatMap((each) => (each.placed ? [[each.job, each.node]] : [])),
  );

describe("place", () => {
  test("chooses the same nodes as a test of every node for every job", () => {
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

  test("decides the same with rules that do not declare what they read", () => {
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

  test("follows custom rules that prefer busy nodes", () => {
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

  test("records the nodes that fit, best first, for any number of them", () => {
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

  test("gives a job without a node the summary of its explanation", () => {
    fc.assert(
      fc.property(view, fleet, (job, known) => {
        const { code, summary, missing, fix } = explain(job, known);
        const [placement] = place([{ ...job, id: 1 }], known);
        if (placement?.placed) return;
        const expected = { code, summary, missing, fix: fix?.action ?? null };
        expect(placement?.refusal).toEqual(expected);
      }),
      { numRuns: 2_000 },
    );
  });

  test("does not change its arguments", () => {
    fc.assert(
      fc.property(jobs, fleet, (batch, known) => {
        const before = structuredClone({ batch, known });
        place(batch, known, { keep: 2 });
        expect({ batch, known }).toEqual(before);
      }),
    );
  });
});
