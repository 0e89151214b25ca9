import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { place, placeAll } from "./matcher.ts";
import type { NodeView } from "./node-view.ts";
import type { StepView } from "./step-view.ts";

// Few names and tags, so that steps and nodes meet often enough to test both answers.
const name = fc.constantFrom("oracle", "pop-os", "tower", "nas");
const tag = fc.constantFrom("docker", "has-gpu", "ssd", "node=tower", "not a clause");

const node: fc.Arbitrary<NodeView> = fc.record({
  name,
  capabilities: fc.uniqueArray(tag),
  online: fc.boolean(),
  lastSeenMs: fc.option(fc.nat()),
  status: fc.constantFrom("active", "active", "paused", "draining"),
  slots: fc.nat({ max: 3 }),
  busy: fc.nat({ max: 3 }),
});
const nodes = fc.uniqueArray(node, { selector: (each) => each.name });

const step: fc.Arbitrary<StepView> = fc.record(
  {
    requires: fc.uniqueArray(tag, { maxLength: 2 }),
    host: fc.option(name, { freq: 2 }),
    prefers: fc.array(fc.record({ clause: tag, weight: fc.integer({ min: 1, max: 9 }) })),
  },
  { requiredKeys: ["requires"] },
);

/** The rules once more, as one sentence: what `place` has to come to, however it gets there. */
const couldRun = ({ requires, host }: StepView, each: NodeView): boolean =>
  requires.every(
    (clause) =>
      clause !== "not a clause" &&
      [...each.capabilities, `node=${each.name}`].some((offered) => offered === clause),
  ) &&
  (host === null || host === undefined || host === each.name);

const isFree = ({ online, status, slots, busy }: NodeView): boolean =>
  online && status === "active" && busy < slots;

describe("place", () => {
  test("places a step exactly when a free node could run it, and only there", () => {
    fc.assert(
      fc.property(step, nodes, (wanted, known) => {
        const fitting = known.filter((each) => couldRun(wanted, each) && isFree(each));
        const placement = place(wanted, known);
        const eligible = placement.placed ? placement.eligible.map((each) => each.node) : [];
        expect(eligible.toSorted()).toEqual(fitting.map((each) => each.name).toSorted());
        if (placement.placed) expect(eligible[0]).toBe(placement.node);
      }),
    );
  });

  test("says what stands in the way", () => {
    fc.assert(
      fc.property(step, nodes, (wanted, known) => {
        const placement = place(wanted, known);
        if (placement.placed) return;
        const capable = known.filter((each) => couldRun(wanted, each));
        const expected = {
          no_nodes: known.length === 0,
          no_capable_node: known.length > 0 && capable.length === 0,
          no_capable_node_online: capable.length > 0 && capable.every((each) => !each.online),
          no_capable_node_free: capable.some((each) => each.online),
        };
        expect(expected[placement.code]).toBe(true);
        for (const clause of placement.missing) {
          expect(known.some((each) => couldRun({ requires: [clause] }, each))).toBe(false);
        }
      }),
    );
  });

  test("judges every node, as eligible or as rejected for a reason", () => {
    fc.assert(
      fc.property(step, nodes, (wanted, known) => {
        const placement = place(wanted, known);
        const eligible = placement.placed ? placement.eligible : [];
        const judged = [...eligible, ...placement.rejected].map((each) => each.node);
        expect(judged.toSorted()).toEqual(known.map((each) => each.name).toSorted());
        for (const { failures } of placement.rejected) expect(failures).not.toEqual([]);
      }),
    );
  });

  test("does not depend on the order of nodes, capabilities and requirements", () => {
    const shuffled = fc.tuple(step, nodes).chain(([wanted, known]) =>
      fc.record({
        wanted: fc.constant(wanted),
        known: fc.constant(known),
        permuted: fc.shuffledSubarray(known, { minLength: known.length }),
      }),
    );
    fc.assert(
      fc.property(shuffled, ({ wanted, known, permuted }) => {
        const turned = permuted.map((each) => ({
          ...each,
          capabilities: each.capabilities.toReversed(),
        }));
        expect(place(wanted, turned)).toEqual(place(wanted, known));
      }),
    );
  });

  test("scores between 0 and 1", () => {
    fc.assert(
      fc.property(step, nodes, (wanted, known) => {
        const placement = place(wanted, known);
        for (const { score } of placement.placed ? placement.eligible : []) {
          expect(score).toBeGreaterThanOrEqual(0);
          expect(score).toBeLessThanOrEqual(1);
        }
      }),
    );
  });
});

describe("placeAll", () => {
  const batches = fc
    .array(step, { maxLength: 8 })
    .map((steps) => steps.map((each, id) => ({ id, step: each })));

  test("never gives a node more than its free slots, nor a step it could not run", () => {
    fc.assert(
      fc.property(batches, nodes, (batch, known) => {
        const placements = placeAll(batch, known);
        expect(placements.map(({ id }) => id)).toEqual(batch.map(({ id }) => id));
        const byName = new Map(known.map((each) => [each.name, each]));
        const taken = new Map<string, number>();
        for (const [index, { placement }] of placements.entries()) {
          if (!placement.placed) continue;
          const chosen = byName.get(placement.node);
          const wanted = batch[index]?.step;
          expect(chosen && wanted && couldRun(wanted, chosen)).toBe(true);
          taken.set(placement.node, (taken.get(placement.node) ?? 0) + 1);
        }
        for (const { name: each, slots, busy } of known) {
          expect(taken.get(each) ?? 0).toBeLessThanOrEqual(Math.max(0, slots - busy));
        }
      }),
    );
  });

  test("leaves a step unplaced only when the nodes that could run it are taken", () => {
    fc.assert(
      fc.property(batches, nodes, (batch, known) => {
        const free = new Map(
          known.filter(isFree).map(({ name: each, slots, busy }) => [each, slots - busy]),
        );
        for (const [index, { placement }] of placeAll(batch, known).entries()) {
          const wanted = batch[index]?.step ?? { requires: [] };
          const open = known.filter(
            (each) => couldRun(wanted, each) && (free.get(each.name) ?? 0) > 0,
          );
          expect(placement.placed).toBe(open.length > 0);
          if (placement.placed) free.set(placement.node, (free.get(placement.node) ?? 0) - 1);
        }
      }),
    );
  });

  test("leaves the nodes it was given as they were", () => {
    fc.assert(
      fc.property(batches, nodes, (batch, known) => {
        const before = structuredClone(known);
        placeAll(batch, known);
        expect(known).toEqual(before);
      }),
    );
  });
});
