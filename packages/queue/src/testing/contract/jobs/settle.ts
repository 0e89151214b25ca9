import { describe, expect } from "vitest";
import { claim, offerAll, only, runningJob, sayHello } from "../../agent.ts";
import { makePlan } from "../../plan.ts";
import type { QueueTest } from "../../queue-test.ts";
import { makeDue } from "../../rows.ts";
import { failure, success } from "../../settlements.ts";

export function settleContract(test: QueueTest): void {
  const twice = { attempts: 2, backoff: { kind: "fixed", delayMs: 0, maxDelayMs: 0 } } as const;

  describe("settle", () => {
    test("records a result once, and answers a repeated call 'duplicate'", async ({ queue }) => {
      const { job, read } = await runningJob(queue);
      expect(await queue.settle("forge", [success(job)])).toEqual([
        { id: job.id, fence: 1, answer: "accepted", state: "succeeded" },
      ]);
      expect(await queue.settle("forge", [failure(job)])).toMatchObject([{ answer: "duplicate" }]);
      expect(await read()).toMatchObject({
        state: "succeeded",
        result: { ok: true },
        ranOn: "forge",
      });
    });

    test("answers a repeated call 'duplicate' also when the job was claimed again", async ({
      queue,
      database,
    }) => {
      const { job, session } = await runningJob(queue, { retry: twice });
      await queue.settle("forge", [failure(job)]);
      await makeDue(database);
      await offerAll(queue, "forge");
      expect(only(await claim(queue, session, { seq: 2 }))).toMatchObject({ fence: 2 });
      expect(await queue.settle("forge", [failure(job)])).toMatchObject([{ answer: "duplicate" }]);
    });

    // Interleavings: all wait for the job's lock; the first writes its fence as settled.
    test("accepts one of eight settles of one claim", async ({ queue }) => {
      const { job } = await runningJob(queue);
      const answers = await Promise.all(
        Array.from({ length: 8 }, (_, index) =>
          queue.settle("forge", [index % 2 === 0 ? success(job) : failure(job)]),
        ),
      );
      const said = answers.flat().map(({ answer }) => answer);
      expect(said.filter((answer) => answer === "accepted")).toHaveLength(1);
      expect(said.filter((answer) => answer === "duplicate")).toHaveLength(7);
    });

    test("puts a failed step back until its attempts are spent", async ({ queue }) => {
      const { job, session, read } = await runningJob(queue, { retry: twice });
      expect(await queue.settle("forge", [failure(job)])).toMatchObject([
        { answer: "accepted", state: "waiting" },
      ]);
      expect(await read()).toMatchObject({ attempt: 1, error: { message: "boom" } });

      await offerAll(queue, "forge");
      const second = only(await claim(queue, session, { seq: 2 }));
      expect(second).toMatchObject({ fence: 2, attempt: 2 });
      expect(await queue.settle("forge", [failure(second)])).toMatchObject([{ state: "failed" }]);
    });

    test("fails a job at once when another attempt cannot help", async ({ queue }) => {
      const { job } = await runningJob(queue, { retry: twice });
      expect(
        await queue.settle("forge", [{ ...job, outcome: "failed", error: "no", retryable: false }]),
      ).toMatchObject([{ answer: "accepted", state: "failed" }]);
    });

    test("waits between attempts: the backoff, or what the step asked for", async ({ queue }) => {
      const retry = {
        attempts: 3,
        backoff: { kind: "exponential", delayMs: 60_000, maxDelayMs: 90_000 },
      } as const;
      const { job, session, read } = await runningJob(queue, { retry });
      await queue.settle("forge", [failure(job)]);
      const waitMs = (await read()).runAt.getTime() - Date.now();
      expect(waitMs).toBeGreaterThan(25_000);
      expect(waitMs).toBeLessThanOrEqual(60_000);
      expect(await queue.listWaiting()).toEqual([]);

      const other = await queue.startRun(makePlan([{ step: "only", retry }]));
      await offerAll(queue, "forge");
      const soon = only(await claim(queue, session, { seq: 2 }));
      await queue.settle("forge", [
        { ...soon, outcome: "failed", error: "later", delayMs: 3_600_000 },
      ]);
      const asked = only((await queue.getRun(other.runId)).jobs).runAt.getTime() - Date.now();
      expect(asked).toBeGreaterThan(3_500_000);
    });

    test("takes a released job back without spending the attempt", async ({ queue }) => {
      const { job, read } = await runningJob(queue);
      await queue.settle("forge", [{ ...job, outcome: "released", reason: "forge is stopping" }]);
      expect(await read()).toMatchObject({
        state: "waiting",
        attempt: 0,
        crashRestarts: 0,
        waitingReason: { code: "released", summary: "forge is stopping" },
      });
    });

    test("takes a declined job back, and remembers who declined it", async ({ queue }) => {
      const { job, session, read } = await runningJob(queue);
      const declined = { outcome: "declined", reason: "docker has gone" } as const;
      expect(await queue.settle("forge", [{ ...job, ...declined }])).toMatchObject([
        { answer: "accepted", state: "waiting" },
      ]);
      expect(await read()).toMatchObject({
        state: "waiting",
        attempt: 0,
        declinedBy: ["forge"],
        waitingReason: { code: "declined", summary: "docker has gone" },
      });

      await offerAll(queue, "forge");
      const again = only(await claim(queue, session, { seq: 2 }));
      await queue.settle("forge", [{ ...again, ...declined }]);
      expect(await read()).toMatchObject({ declinedBy: ["forge", "forge"] });
    });

    test("keeps the error of the last failure when a job is released", async ({ queue }) => {
      const { job, session, read } = await runningJob(queue, { retry: twice });
      await queue.settle("forge", [failure(job)]);
      await offerAll(queue, "forge");
      const second = only(await claim(queue, session, { seq: 2 }));
      await queue.settle("forge", [{ ...second, outcome: "released" }]);
      expect(await read()).toMatchObject({ error: { message: "boom" } });
    });

    test("does not offer a released job again before its delay is over", async ({
      queue,
      database,
    }) => {
      const { job } = await runningJob(queue);
      await queue.settle("forge", [{ ...job, outcome: "released", delayMs: 3_600_000 }]);
      expect(await queue.listWaiting()).toEqual([]);
      await makeDue(database);
      expect(await queue.listWaiting()).toMatchObject([{ id: job.id }]);
    });

    test("gives a pinned job back to its own node", async ({ queue }) => {
      const { job, read } = await runningJob(queue, { host: "forge" });
      await queue.settle("forge", [{ ...job, outcome: "released" }]);
      expect(await read()).toMatchObject({ state: "pending", targetHost: "forge" });
    });

    test("refuses another node's outcome without revealing the job", async ({ queue }) => {
      const { job, read } = await runningJob(queue);
      await sayHello(queue, "oracle");
      expect(await queue.settle("oracle", [success(job), success({ id: 999, fence: 1 })])).toEqual([
        { id: job.id, fence: 1, answer: "unknown", state: null },
        { id: 999, fence: 1, answer: "unknown", state: null },
      ]);
      expect(await read()).toMatchObject({ state: "running" });
    });

    test("turns a job that should be cancelled into a cancelled one when it fails", async ({
      queue,
    }) => {
      const { job, runId } = await runningJob(queue, { retry: twice });
      await queue.cancel([job.id]);
      expect(await queue.settle("forge", [failure(job)])).toMatchObject([{ state: "cancelled" }]);
      expect(await queue.getRun(runId)).toMatchObject({ status: "cancelled" });
    });
  });
}
