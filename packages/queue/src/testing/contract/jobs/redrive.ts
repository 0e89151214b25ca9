import { describe, expect } from "vitest";
import type { NewJob } from "../../../jobs.ts";
import type { Queue } from "../../../queue.ts";
import { claim, only, runningJob, sayHello } from "../../agent.ts";
import { makeJob } from "../../new-job.ts";
import type { QueueTest } from "../../queue-test.ts";
import { failure, success } from "../../settlements.ts";

/** A job of its own that failed on forge. */
async function failedJob(queue: Queue, rest: Partial<NewJob> = {}): Promise<number> {
  await queue.enqueue([makeJob({ host: "forge", ...rest })]);
  const job = only(await claim(queue, await sayHello(queue, "forge")));
  await queue.settle("forge", [failure(job)]);
  return job.id;
}

export function redriveContract(test: QueueTest): void {
  describe("redrive", () => {
    test("adds a copy of a failed job, and leaves the old one as it ended", async ({ queue }) => {
      const what = { input: { page: 7 }, priority: 3, requires: ["docker"], key: "page 7" };
      const id = await failedJob(queue, { ...what, concurrency: { key: "printer", limit: 2 } });
      const old = await queue.getJob(id);
      const { redrivenAs } = only(await queue.redrive([id]));
      expect(await queue.getJob(redrivenAs ?? 0)).toMatchObject({
        state: "pending",
        targetHost: "forge",
        step: old.step,
        payload: { page: 7 },
        priority: 3,
        requires: ["docker"],
        concurrencyKey: "printer",
        concurrencyLimit: 2,
        attempt: 0,
        error: null,
      });
      expect(await queue.getJob(id)).toEqual(old);
    });

    test("adds a copy of a cancelled job, for a hub to place", async ({ queue }) => {
      const { id } = only(await queue.enqueue([makeJob({ startWithinMs: 60_000 })]));
      await queue.cancel([id]);
      const { redrivenAs } = only(await queue.redrive([id]));
      expect(await queue.listWaiting()).toMatchObject([{ id: redrivenAs }]);
      const copy = await queue.getJob(redrivenAs ?? 0);
      expect(copy.startBy?.getTime()).toBeGreaterThan(copy.createdAt.getTime());
    });

    // Interleavings: as of enqueue with a key: one inserts, the others wait for its commit.
    test("adds one copy a job, however many ask for it", async ({ queue }) => {
      const id = await failedJob(queue);
      const answers = await Promise.all(Array.from({ length: 8 }, () => queue.redrive([id])));
      expect(new Set(answers.map((copies) => only(copies).redrivenAs)).size).toBe(1);
      expect(await queue.redrive([id])).toEqual(answers[0]);
    });

    test("may be done with a copy that failed too", async ({ queue }) => {
      const id = await failedJob(queue);
      const { redrivenAs } = only(await queue.redrive([id]));
      const copy = only(await claim(queue, await sayHello(queue, "forge")));
      await queue.settle("forge", [failure(copy)]);
      const again = only(await queue.redrive([redrivenAs ?? 0]));
      expect(again.redrivenAs).toBeGreaterThan(redrivenAs ?? 0);
    });

    test("adds nothing for a job that did not fail, is not there, or is a step", async ({
      queue,
    }) => {
      const step = await runningJob(queue);
      await queue.settle("forge", [failure(step.job)]);
      const [waiting] = await queue.enqueue([makeJob()]);
      await queue.enqueue([makeJob({ host: "forge" })]);
      const job = only(await claim(queue, step.session, { seq: 2 }));
      await queue.settle("forge", [success(job)]);
      const ids = [step.job.id, waiting?.id ?? 0, job.id, 404];
      expect(await queue.redrive(ids)).toEqual(ids.map((id) => ({ id, redrivenAs: null })));
    });
  });
}
