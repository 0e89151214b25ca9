import { describe, expect } from "vitest";
import { claim, only, runningJob, sayHello } from "../../agent.ts";
import { makeJob } from "../../new-job.ts";
import type { QueueTest } from "../../queue-test.ts";
import { success } from "../../settlements.ts";

export function pauseContract(test: QueueTest): void {
  describe("pauseWorkflow", () => {
    test("keeps jobs of the workflow from being listed and claimed, until it is resumed", async ({
      queue,
    }) => {
      const added = await queue.enqueue([
        makeJob({ workflow: "paused" }),
        makeJob({ workflow: "paused", host: "forge" }),
        makeJob({ workflow: "other" }),
        makeJob({ workflow: "other", host: "forge" }),
      ]);
      const [waiting, pending, otherWaiting, otherPending] = added.map(({ id }) => id);
      const session = await sayHello(queue, "forge");

      await queue.pauseWorkflow("paused", "the printer is out of paper");
      expect(await queue.listWaiting()).toMatchObject([{ id: otherWaiting }]);
      expect(only(await claim(queue, session))).toMatchObject({ id: otherPending });
      expect(await queue.getJob(pending ?? 0)).toMatchObject({ state: "pending" });

      await queue.resumeWorkflow("paused");
      expect(await queue.listWaiting()).toMatchObject([{ id: waiting }, { id: otherWaiting }]);
      expect(only(await claim(queue, session, { seq: 2 }))).toMatchObject({ id: pending });
    });

    test("lets running jobs go on", async ({ queue }) => {
      const { job } = await runningJob(queue);
      await queue.pauseWorkflow("made-for-test");
      expect(await queue.settle("forge", [success(job)])).toMatchObject([{ answer: "accepted" }]);
    });

    test("may be repeated, and so may resuming", async ({ queue, database }) => {
      await queue.pauseWorkflow("paused", "first");
      await queue.pauseWorkflow("paused", "second");
      expect(await database.sql`select note from public.loom_paused_workflows`).toEqual([
        { note: "second" },
      ]);
      await queue.resumeWorkflow("paused");
      await queue.resumeWorkflow("paused");
      expect(await database.sql`select from public.loom_paused_workflows`).toHaveLength(0);
    });

    // Interleaving: a claim that has looked before the pause commits may still bring a job. One
    // that begins after pauseWorkflow has answered never does.
    test("has taken effect when it answers", async ({ queue }) => {
      const session = await sayHello(queue, "forge", { slots: 1_000 });
      await queue.enqueue(Array.from({ length: 200 }, () => makeJob({ host: "forge" })));
      let seq = 0;
      let isPaused = false;
      const work = async () => {
        while (!isPaused) {
          seq += 1;
          await claim(queue, session, { seq, limit: 1 });
        }
      };
      const pause = async () => {
        await queue.pauseWorkflow("made-for-test");
        isPaused = true;
      };
      await Promise.all([work(), work(), pause()]);
      expect(await claim(queue, session, { seq: seq + 1 })).toEqual([]);
    });
  });
}
