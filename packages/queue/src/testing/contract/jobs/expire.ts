import type { Database } from "@loom/local-db";
import { describe, expect } from "vitest";
import { claim, offerAll, only, sayHello } from "../../agent.ts";
import { makeJob } from "../../new-job.ts";
import { makePlan } from "../../plan.ts";
import type { QueueTest } from "../../queue-test.ts";
import { setStartBy } from "../../rows.ts";
import { success } from "../../settlements.ts";
import { untilWaiting } from "../../until-waiting.ts";

/** Lets the time limit of every job with `startWithinMs` pass. */
const passStartBy = (database: Database) => setStartBy(database.sql, "now() - interval '1 second'");

export function expireContract(test: QueueTest): void {
  describe("expire", () => {
    test("fails jobs that were not started in time, and only those", async ({
      queue,
      database,
    }) => {
      const [waiting, pinned, patient] = await queue.enqueue([
        makeJob({ startWithinMs: 1_000 }),
        makeJob({ startWithinMs: 1_000, host: "forge" }),
        makeJob(),
      ]);
      expect(await queue.expire()).toBe(0);
      await passStartBy(database);
      expect(await queue.listWaiting()).toMatchObject([{ id: patient?.id }]);
      expect(await claim(queue, await sayHello(queue, "forge"))).toEqual([]);

      expect(await queue.expire()).toBe(2);
      for (const job of [waiting, pinned]) {
        expect(await queue.getJob(job?.id ?? 0)).toMatchObject({
          state: "failed",
          attempt: 0,
          error: { code: "EXPIRED" },
        });
      }
      expect(await queue.getJob(patient?.id ?? 0)).toMatchObject({ state: "waiting" });
    });

    test("counts from when a delayed job is due", async ({ queue }) => {
      const { id } = only(
        await queue.enqueue([makeJob({ delayMs: 60_000, startWithinMs: 1_000 })]),
      );
      const job = await queue.getJob(id);
      expect(Number(job.startBy) - Number(job.runAt)).toBe(1_000);
    });

    test("counts from when a step of a run is ready, and fails the run", async ({
      queue,
      database,
    }) => {
      const { runId } = await queue.startRun(
        makePlan([
          { step: "a", host: "forge" },
          { step: "b", after: ["a"], startWithinMs: 1_000 },
          { step: "c", after: ["b"] },
        ]),
      );
      const job = only(await claim(queue, await sayHello(queue, "forge")));
      const [, blocked] = (await queue.getRun(runId)).jobs;
      expect(blocked).toMatchObject({ state: "blocked", startBy: null });

      await queue.settle("forge", [success(job)]);
      const [, ready] = (await queue.getRun(runId)).jobs;
      expect(Number(ready?.startBy) - Number(ready?.runAt)).toBe(1_000);
      await passStartBy(database);
      expect(await queue.expire()).toBe(1);
      expect(await queue.getRun(runId)).toMatchObject({
        status: "failed",
        jobs: [{ state: "succeeded" }, { state: "failed" }, { state: "skipped" }],
      });
    });

    test("does not count once a job was started, but does when it was declined", async ({
      queue,
    }) => {
      const [started, declined] = await queue.enqueue([
        makeJob({ startWithinMs: 60_000, host: "forge", priority: 1 }),
        makeJob({ startWithinMs: 60_000, host: "forge", priority: 2 }),
      ]);
      const [first, second] = await claim(queue, await sayHello(queue, "forge"));
      await queue.settle("forge", [
        { id: first?.id ?? 0, fence: 1, outcome: "released" },
        { id: second?.id ?? 0, fence: 1, outcome: "declined", reason: "no" },
      ]);
      expect(await queue.getJob(started?.id ?? 0)).toMatchObject({ startBy: null });
      expect(await queue.getJob(declined?.id ?? 0)).toMatchObject({ startBy: expect.any(Date) });
    });

    test("works through so many at a time", async ({ queue, database }) => {
      await queue.enqueue(Array.from({ length: 3 }, () => makeJob({ startWithinMs: 1_000 })));
      await passStartBy(database);
      expect([await queue.expire({ limit: 2 }), await queue.expire({ limit: 2 })]).toEqual([2, 1]);
    });

    // Interleaving: expire has listed the step and waits for its run's lock. Before it gets that,
    // the step is claimed.
    test("leaves a step alone that was started while it waited", async ({ queue, database }) => {
      const { runId } = await queue.startRun(
        makePlan([{ step: "only", host: "forge", startWithinMs: 1_000 }]),
      );
      const { epoch } = await sayHello(queue, "forge");
      await passStartBy(database);
      let expiring: Promise<number> | undefined;
      await database.sql.begin(async (sql) => {
        await sql`select from public.loom_runs where id = ${runId} for no key update`;
        expiring = queue.expire();
        await untilWaiting(database);
        await setStartBy(sql, "now() + interval '1 minute'");
        await sql`select public.loom_exchange('forge', ${epoch}, 1, 1)`;
      });
      expect(await expiring).toBe(0);
      expect(only((await queue.getRun(runId)).jobs)).toMatchObject({ state: "running" });
    });

    // Interleavings: the time limit passes while the claim is under way. The first call to lock
    // the job gets it; the other skips it, or finds it running or failed. A claim that comes
    // later leaves the job to the next expire.
    test("races with a claim: the job is started or expired, never both", async ({
      queue,
      database,
    }) => {
      const session = await sayHello(queue, "forge", { slots: 100 });
      const outcomes: string[] = [];
      for (let seq = 1; seq <= 20; seq += 1) {
        const { id } = only(await queue.enqueue([makeJob({ startWithinMs: 60_000 })]));
        await offerAll(queue, "forge");
        await setStartBy(database.sql, "clock_timestamp() + interval '3 ms'");
        const claiming = claim(queue, session, { seq, limit: 1 });
        let expired = 0;
        while (expired === 0 && (await queue.getJob(id)).state === "pending") {
          expired = await queue.expire();
        }
        const claimed = await claiming;
        expect(expired + claimed.length).toBe(1);
        outcomes.push((await queue.getJob(id)).state);
        await queue.cancel([id]);
      }
      expect(outcomes.filter((state) => state !== "running" && state !== "failed")).toEqual([]);
    });
  });
}
