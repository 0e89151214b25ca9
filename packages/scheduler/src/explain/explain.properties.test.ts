import fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import { CLAUSES, fleet, takes, view } from "../../test/random-fleets.ts";
import { place } from "../place/place.ts";
import type { JobView, NodeView } from "../views.ts";
import { explain } from "./explain.ts";

// Thousands of fleets take seconds, and longer on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

/** Whether no machine could meet the job's requirements. */
const isHopeless = ({ requires }: JobView): boolean =>
  requires.includes("not a clause") ||
  (requires.includes("docker") && requires.includes("!docker"));

/** Whether the job names a machine, which may not meet its other requirements. */
const isBound = ({ host, requires }: JobView): boolean =>
  host != null || requires.includes("node=tower");

describe("explain", () => {
  test("calls exactly those nodes eligible that a job alone could be placed on", () => {
    fc.assert(
      fc.property(view, fleet, (job, known) => {
        const explanation = explain(job, known);
        const eligible = explanation.nodes.filter(({ eligibility }) => eligibility === "eligible");
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

  test("suggests a fix that makes the job placeable, unless no machine can meet its requirements", () => {
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

  test("reports every node, with every failing clause", () => {
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
          expect(report.clauses.filter(({ met }) => !met).map(({ clause }) => clause)).toEqual(
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
