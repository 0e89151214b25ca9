import { describe, expect } from "vitest";
import { claim, offerAll, only, sayHello } from "../../agent.ts";
import { makePlan } from "../../plan.ts";
import type { QueueTest } from "../../queue-test.ts";
import { setRunAt } from "../../rows.ts";

export function placeContract(test: QueueTest): void {
  describe("listWaiting", () => {
    test("lists a few jobs of each kind of need, so that none hides another", async ({ queue }) => {
      const stuck = Array.from({ length: 30 }, (_, index) => ({
        step: `gpu-${index}`,
        requires: ["has-gpu"],
        priority: 0,
      }));
      await queue.startRun(makePlan([...stuck, { step: "plain" }]));
      const waiting = await queue.listWaiting({ perKind: 5 });
      expect(waiting.map(({ step }) => step)).toEqual([
        "gpu-0",
        "gpu-1",
        "gpu-2",
        "gpu-3",
        "gpu-4",
        "plain",
      ]);
    });

    test("leaves out what is not due", async ({ queue, database }) => {
      await queue.startRun(makePlan([{ step: "later" }]));
      await setRunAt(database, "now() + interval '1 hour'");
      expect(await queue.listWaiting()).toEqual([]);
    });
  });

  describe("place", () => {
    test("offers a job to a node, which then counts it as taken", async ({ queue }) => {
      const { runId } = await queue.startRun(makePlan([{ step: "only" }]));
      await sayHello(queue, "forge");
      const [job] = await queue.listWaiting();
      const placement = { node: "forge", score: 1 };
      expect(
        await queue.place({
          offers: [{ job: job?.id ?? 0, node: "forge", placement }],
          refusals: [],
        }),
      ).toEqual([job?.id]);
      expect(only((await queue.getRun(runId)).jobs)).toMatchObject({
        state: "pending",
        targetHost: "forge",
        placement,
      });
      expect(only(await queue.listNodes())).toMatchObject({ offered: 1, running: 0 });
    });

    test("keeps the reason of a job that got no node, until it gets one", async ({ queue }) => {
      const { runId } = await queue.startRun(makePlan([{ step: "only" }]));
      const [job] = await queue.listWaiting();
      const reason = { code: "no_capable_node", summary: "no known node offers has-gpu" };
      await queue.place({ offers: [], refusals: [{ job: job?.id ?? 0, reason }] });
      expect(only((await queue.getRun(runId)).jobs)).toMatchObject({
        state: "waiting",
        waitingReason: reason,
      });

      await offerAll(queue, "forge");
      expect(only((await queue.getRun(runId)).jobs)).toMatchObject({
        state: "pending",
        waitingReason: null,
      });
    });

    // Interleavings: both hubs read the jobs as waiting. The first hub to lock a job offers
    // it; the other skips it or finds it pending.
    test("offers each job once when two hubs place", async ({ queue }) => {
      const steps = Array.from({ length: 40 }, (_, index) => ({ step: `s${index}` }));
      await queue.startRun(makePlan(steps));
      const [one, two] = await Promise.all([offerAll(queue, "forge"), offerAll(queue, "oracle")]);
      expect([...one, ...two].sort((a, b) => a - b)).toEqual(
        [...new Set([...one, ...two])].sort((a, b) => a - b),
      );
      expect(await queue.listWaiting()).toEqual([]);
    });

    test("does not touch a job that runs", async ({ queue }) => {
      await queue.startRun(makePlan([{ step: "only" }]));
      const session = await sayHello(queue, "forge");
      await offerAll(queue, "forge");
      const job = only(await claim(queue, session));
      const offers = [{ job: job.id, node: "oracle", placement: null }];
      expect(await queue.place({ offers, refusals: [] })).toEqual([]);
      expect(
        await queue.settle("forge", [{ ...job, outcome: "succeeded", result: 1 }]),
      ).toMatchObject([{ answer: "accepted" }]);
    });
  });
}
