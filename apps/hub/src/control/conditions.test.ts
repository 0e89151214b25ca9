import type { ConditionDecision, TakenCondition } from "@loom/queue";
import type { StepEvaluation } from "@loom/scheduler";
import { PlannerBusyError } from "@loom/worker";
import { pino } from "pino";
import { describe, expect, test } from "vitest";
import { createConditionLoop } from "./conditions.ts";

const taken: TakenCondition = {
  ...{ id: 7, fence: 1, workflow: "deploy", version: "v1", step: "ship", requires: [] },
  ...{ input: {}, results: {}, payload: null },
};

/** Runs one round over these, and returns what was recorded, call by call. */
async function round(
  conditions: TakenCondition[],
  decide: (step: TakenCondition) => Promise<StepEvaluation>,
) {
  const recorded: ConditionDecision[][] = [];
  const loop = createConditionLoop({
    queue: {
      takeConditions: async () => conditions,
      async recordConditions(decisions) {
        recorded.push([...decisions]);
        return [];
      },
    },
    planner: { decide: (step) => decide(step as TakenCondition) },
    log: pino({ level: "silent" }),
  });
  await loop.round();
  return recorded;
}

const isBusy = () => Promise.reject(new PlannerBusyError("everybody waits"));

describe("the loop of conditions", () => {
  test("tries one again that could not be evaluated, later each time", async () => {
    expect(await round([{ ...taken, fence: 3 }], isBusy)).toEqual([
      [{ id: 7, fence: 3, outcome: "later", reason: "everybody waits", delayMs: 15_000 }],
    ]);
  });

  test("fails the step at the tenth try", async () => {
    expect(await round([{ ...taken, fence: 10 }], isBusy)).toMatchObject([
      [{ outcome: "fails", error: { code: "CONDITION_NOT_EVALUATED" } }],
    ]);
  });

  test("records the others while one is slow", async () => {
    const slow = Promise.withResolvers<StepEvaluation>();
    const recorded = await round([taken, { ...taken, id: 8 }], async ({ id }) => {
      if (id === 7) return slow.promise;
      setImmediate(() => slow.resolve({ outcome: "skips" }));
      return { outcome: "runs" };
    });
    expect(recorded).toEqual([
      [{ id: 8, fence: 1, outcome: "runs" }],
      [{ id: 7, fence: 1, outcome: "skips" }],
    ]);
  });
});
