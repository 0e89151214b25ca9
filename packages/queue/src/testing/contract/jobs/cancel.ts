import { describe, expect } from "vitest";
import { claim, offerAll, only, runningJob, sayHello } from "../../agent.ts";
import { makeJob } from "../../new-job.ts";
import { makePlan } from "../../plan.ts";
import type { QueueTest } from "../../queue-test.ts";
import { expireLeases, passDeadlines } from "../../rows.ts";
import { failure, success } from "../../settlements.ts";

const twice = { attempts: 2, backoff: { kind: "fixed", delayMs: 0, maxDelayMs: 0 } } as const;

export function cancelContract(test: QueueTest): void {
  describe("cancel", () => {
    test("ends jobs that no node runs at once, and asks the node that runs one", async ({
      queue,
    }) => {
      const [waiting, pending, running, finished] = (
        await queue.enqueue([
          makeJob(),
          makeJob({ host: "oracle" }),
          makeJob({ host: "forge", priority: 1 }),
          makeJob({ host: "forge", priority: 2 }),
        ])
      ).map(({ id }) => id);
      const [, job] = await claim(queue, await sayHello(queue, "forge"));
      await queue.settle("forge", [success({ id: job?.id ?? 0, fence: 1 })]);

      const ids = [404, finished ?? 0, running ?? 0, pending ?? 0, waiting ?? 0];
      expect(await queue.cancel(ids)).toEqual([
        { id: 404, answer: "unknown" },
        { id: finished, answer: "finished" },
        { id: running, answer: "requested" },
        { id: pending, answer: "cancelled" },
        { id: waiting, answer: "cancelled" },
      ]);
      expect(await queue.getJob(waiting ?? 0)).toMatchObject({ state: "cancelled" });
      expect(await queue.getJob(pending ?? 0)).toMatchObject({ state: "cancelled" });
      expect(await queue.getJob(running ?? 0)).toMatchObject({
        state: "running",
        cancelRequestedAt: expect.any(Date),
      });
      expect(await queue.getJob(finished ?? 0)).toMatchObject({ state: "succeeded" });
    });

    test("may be repeated, and keeps the first request", async ({ queue }) => {
      const { job, read } = await runningJob(queue);
      await queue.cancel([job.id]);
      const first = await read();
      expect(await queue.cancel([job.id])).toEqual([{ id: job.id, answer: "requested" }]);
      expect(await read()).toEqual(first);
      await queue.settle("forge", [failure(job)]);
      expect(await queue.cancel([job.id])).toEqual([{ id: job.id, answer: "finished" }]);
    });

    test("of a blocked step skips what depends on it, and the rest of the run goes on", async ({
      queue,
    }) => {
      const { runId } = await queue.startRun(
        makePlan([
          { step: "a", host: "forge" },
          { step: "b", after: ["a"] },
          { step: "c", after: ["b"] },
        ]),
      );
      const [, blocked] = (await queue.getRun(runId)).jobs;
      expect(await queue.cancel([blocked?.id ?? 0])).toMatchObject([{ answer: "cancelled" }]);
      expect(await queue.getRun(runId)).toMatchObject({
        status: "running",
        jobs: [{ state: "pending" }, { state: "cancelled" }, { state: "skipped" }],
      });
      const job = only(await claim(queue, await sayHello(queue, "forge")));
      await queue.settle("forge", [success(job)]);
      expect(await queue.getRun(runId)).toMatchObject({ status: "cancelled" });
    });

    test("does not undo a success when it comes too late", async ({ queue }) => {
      const { job, runId, read } = await runningJob(queue);
      await queue.cancel([job.id]);
      expect(await queue.settle("forge", [success(job)])).toMatchObject([{ state: "succeeded" }]);
      expect(await read()).toMatchObject({ state: "succeeded" });
      expect(await queue.getRun(runId)).toMatchObject({ status: "succeeded" });
    });

    test("takes the job of a node that was lost", async ({ queue, database }) => {
      const { job, runId } = await runningJob(queue);
      await queue.cancel([job.id]);
      await expireLeases(database);
      await queue.reap();
      expect(await queue.getRun(runId)).toMatchObject({ status: "cancelled" });
    });

    // Interleavings: placing skips a locked job, or finds it cancelled. An offer that was made
    // first is cancelled with its job.
    test("races with placing: the job ends cancelled", async ({ queue }) => {
      for (let round = 0; round < 20; round += 1) {
        const { id } = only(await queue.enqueue([makeJob()]));
        const [, answers] = await Promise.all([offerAll(queue, "forge"), queue.cancel([id])]);
        expect(answers).toEqual([{ id, answer: "cancelled" }]);
        expect(await queue.getJob(id)).toMatchObject({ state: "cancelled" });
      }
    });

    // Interleavings: the claim first: the cancel waits for its commit and asks the node. The
    // cancel first: the claim skips the job or finds it cancelled.
    test("races with a claim: the job is cancelled, or its node is asked", async ({ queue }) => {
      const session = await sayHello(queue, "forge", { slots: 100 });
      for (let seq = 1; seq <= 20; seq += 1) {
        const { id } = only(await queue.enqueue([makeJob({ host: "forge" })]));
        const [claimed, answers] = await Promise.all([
          claim(queue, session, { seq, limit: 1 }),
          queue.cancel([id]),
        ]);
        const answer = claimed.length > 0 ? "requested" : "cancelled";
        expect(answers).toEqual([{ id, answer }]);
      }
    });

    // Interleavings: the settle first: the job is over, or waits for another attempt and is
    // cancelled. The cancel first: a success counts, and a failure is cancelled.
    test.for([
      { outcome: "success", settle: success, end: "succeeded" },
      { outcome: "failure", settle: failure, end: "cancelled" },
    ])("races with the settle of a $outcome: it ends $end", async ({ settle, end }, { queue }) => {
      for (let round = 0; round < 15; round += 1) {
        const { job, runId } = await runningJob(queue, { retry: twice });
        const [answers] = await Promise.all([
          queue.settle("forge", [settle(job)]),
          queue.cancel([job.id]),
        ]);
        expect(answers).toMatchObject([{ answer: "accepted" }]);
        expect(await queue.getRun(runId)).toMatchObject({ status: end, jobs: [{ state: end }] });
      }
    });

    // Interleavings: the reaper first: the job waits again, and is cancelled. The cancel first:
    // the reaper skips it, or finds the request and cancels. Never does it run again.
    test("races with the reaper: the job ends cancelled", async ({ queue, database }) => {
      for (let round = 0; round < 15; round += 1) {
        const { job, runId } = await runningJob(queue);
        await expireLeases(database);
        await Promise.all([queue.reap(), queue.cancel([job.id])]);
        await queue.reap();
        expect(await queue.getRun(runId)).toMatchObject({
          status: "cancelled",
          jobs: [{ state: "cancelled" }],
        });
      }
    });

    // Interleavings: cancel, settle and the reaper each lock the run first and then its jobs by
    // id, so that no two of them wait for each other.
    test("of many jobs in any order meets settles and reapers without a deadlock", async ({
      queue,
      database,
    }) => {
      const session = await sayHello(queue, "forge", { slots: 1_000 });
      for (let seq = 1; seq <= 5; seq += 1) {
        for (let run = 0; run < 4; run += 1) {
          await queue.startRun(
            makePlan([{ step: "a" }, { step: "b" }, { step: "c", after: ["a"] }]),
          );
        }
        await offerAll(queue, "forge");
        const jobs = await claim(queue, session, { seq, limit: 20 });
        const ids = jobs.map(({ id }) => id);
        await passDeadlines(database, ids.slice(4));
        await Promise.all([
          queue.cancel(ids),
          queue.cancel(ids.toReversed()),
          queue.settle("forge", jobs.map(failure)),
          queue.settle("forge", jobs.toReversed().map(success)),
          queue.reap(),
        ]);
      }
    });

    test("refuses more than 10 000 jobs at once", async ({ queue }) => {
      const ids = Array.from({ length: 10_001 }, (_, index) => index);
      await expect(queue.cancel(ids)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    });
  });

  describe("cancelRun", () => {
    test("cancels every step, whatever it waits for", async ({ queue }) => {
      const { runId } = await queue.startRun(
        makePlan([{ step: "a" }, { step: "b", host: "forge" }, { step: "c", after: ["a", "b"] }]),
      );
      expect(await queue.cancelRun(runId)).toBe("cancelled");
      const { jobs } = await queue.getRun(runId);
      expect(jobs.map(({ state }) => state)).toEqual(["cancelled", "cancelled", "cancelled"]);
      expect(await queue.cancelRun(runId)).toBe("cancelled");
    });

    test("waits for the node that runs a step, and then ends cancelled", async ({ queue }) => {
      const { runId } = await queue.startRun(
        makePlan([
          { step: "a", host: "forge" },
          { step: "b", after: ["a"] },
        ]),
      );
      const session = await sayHello(queue, "forge");
      const job = only(await claim(queue, session));
      expect(await queue.cancelRun(runId)).toBe("running");
      expect(await queue.heartbeat(session)).toMatchObject({ cancel: [job.id] });
      expect(await queue.cancelRun(runId)).toBe("running");

      await queue.settle("forge", [{ ...job, outcome: "released", reason: "cancelled" }]);
      expect(await queue.getRun(runId)).toMatchObject({
        status: "cancelled",
        jobs: [{ state: "cancelled" }, { state: "cancelled" }],
      });
    });

    test("leaves a finished run as it ended", async ({ queue }) => {
      const { job, runId } = await runningJob(queue);
      await queue.settle("forge", [success(job)]);
      expect(await queue.cancelRun(runId)).toBe("succeeded");
    });

    test.for(["00000000-0000-4000-8000-000000000000", "no-such-run"])(
      "says that there is no run %s",
      async (runId, { queue }) => {
        await expect(queue.cancelRun(runId)).rejects.toMatchObject({ code: "RUN_NOT_FOUND" });
      },
    );

    // Interleavings: the run's lock is taken first by both. The settle first: the step that it
    // made ready is cancelled. The cancel first: that step is cancelled while it is blocked.
    test("races with the settle that makes a step ready: nothing is left to run", async ({
      queue,
    }) => {
      const session = await sayHello(queue, "forge", { slots: 100 });
      for (let seq = 1; seq <= 15; seq += 1) {
        const { runId } = await queue.startRun(
          makePlan([
            { step: "a", host: "forge" },
            { step: "b", after: ["a"] },
          ]),
        );
        const job = only(await claim(queue, session, { seq }));
        await Promise.all([queue.settle("forge", [success(job)]), queue.cancelRun(runId)]);
        expect(await queue.getRun(runId)).toMatchObject({
          status: "cancelled",
          jobs: [{ state: "succeeded" }, { state: "cancelled" }],
        });
      }
    });
  });
}
