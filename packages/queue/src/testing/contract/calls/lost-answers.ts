import { describe, expect } from "vitest";
import type { Queue } from "../../../queue.ts";
import { claim, offerAll, only, sayHello } from "../../agent.ts";
import { makeJob } from "../../new-job.ts";
import { makePlan } from "../../plan.ts";
import type { QueueTest } from "../../queue-test.ts";
import { expireLeases } from "../../rows.ts";
import { failure, success } from "../../settlements.ts";

/** A queue that loses the first answer of every call, and calls again. */
const losingAnswers = (queue: Queue): Queue =>
  new Proxy(queue, {
    get(target, name) {
      const method = Reflect.get(target, name) as (...args: unknown[]) => Promise<unknown>;
      return async (...args: unknown[]) => {
        await method(...args);
        return method(...args);
      };
    },
  });

export function lostAnswersContract(test: QueueTest): void {
  describe("a caller that loses every first answer", () => {
    test("runs a workflow like any other", async ({ queue, database }) => {
      const lossy = losingAnswers(queue);
      const plan = makePlan([{ step: "a" }, { step: "b", after: ["a"] }]);
      const { runId } = await lossy.startRun(plan, { key: "once" });
      const session = await sayHello(lossy, "forge");
      for (let seq = 1; seq <= 2; seq += 1) {
        await offerAll(lossy, "forge");
        const job = only(await claim(lossy, session, { seq }));
        const claimed = { ...session, id: job.id, fence: job.fence };
        expect(await lossy.appendLog(claimed, [{ start: 0, chunk: job.step }])).toBe("accepted");
        expect(await lossy.heartbeat(session)).toMatchObject({ held: [{ id: job.id, fence: 1 }] });
        expect(await lossy.settle("forge", [success(job)])).toMatchObject([
          { answer: "duplicate" },
        ]);
        expect((await lossy.readLog(job.id)).chunks).toEqual([{ start: 0, chunk: job.step }]);
      }
      const succeeded = { state: "succeeded", attempt: 1, crashRestarts: 0, result: { ok: true } };
      expect(await lossy.getRun(runId)).toMatchObject({
        status: "succeeded",
        jobs: [succeeded, succeeded],
      });
      expect(await database.sql`select from public.loom_runs`).toHaveLength(1);
    });

    test("adds, fails and redrives one job", async ({ queue, database }) => {
      const lossy = losingAnswers(queue);
      const { id } = only(await lossy.enqueue([makeJob({ key: "once", host: "forge" })]));
      const job = only(await claim(lossy, await sayHello(lossy, "forge")));
      await lossy.settle("forge", [failure(job)]);
      const copy = only(await lossy.redrive([id]));
      expect(await lossy.cancel([copy.redrivenAs ?? 0])).toMatchObject([{ answer: "finished" }]);
      expect(await database.sql`select from public.loom_job_queue`).toHaveLength(2);
    });

    test("gives a lost node's job back once", async ({ queue, database }) => {
      const lossy = losingAnswers(queue);
      const { id } = only(await lossy.enqueue([makeJob({ key: "once", host: "forge" })]));
      await claim(lossy, await sayHello(lossy, "forge"));
      await expireLeases(database);
      await lossy.reap();
      expect(await lossy.getJob(id)).toMatchObject({ state: "pending", crashRestarts: 1 });
    });

    test("retries a run once", async ({ queue, database }) => {
      const lossy = losingAnswers(queue);
      const { runId } = await lossy.startRun(makePlan([{ step: "a" }]), { key: "once" });
      expect(await lossy.cancelRun(runId)).toBe("cancelled");
      await lossy.retryRun(runId, { mode: "all", key: "again" });
      expect(await database.sql`select from public.loom_runs`).toHaveLength(2);
    });
  });
}
