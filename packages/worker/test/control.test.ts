import { ShutdownError } from "@loom/worker";
import { describe, expect } from "vitest";
import { begin, deferred, jobOf, oneStep, over, test, untilAborted } from "./fixtures.ts";

describe("status", () => {
  test("tells the session, what runs and how far it is", async ({ queue, startWorker }) => {
    const told = deferred();
    const finish = deferred();
    const workflow = oneStep(async ({ progress }) => {
      progress(0.25, "pulling");
      told.resolve();
      await finish.promise;
    });
    const { worker } = startWorker({ workflows: [workflow] });
    expect(worker.status()).toEqual({
      session: { state: "none" },
      nodeStatus: null,
      isDraining: false,
      lastHeartbeatAt: null,
      jobs: [],
    });
    const runId = await begin(queue, workflow);
    await told.promise;
    const { id } = await jobOf(queue, runId);
    await expect
      .poll(() => worker.status())
      .toEqual({
        session: { state: "open", epoch: 1 },
        nodeStatus: "active",
        isDraining: false,
        lastHeartbeatAt: expect.any(Date),
        jobs: [
          {
            id,
            fence: 1,
            runId,
            workflow: "one-step",
            step: "only",
            attempt: 1,
            startedAt: expect.any(Date),
            progress: { fraction: 0.25, note: "pulling" },
          },
        ],
      });
    finish.resolve();
    await over(queue, runId);
    await expect.poll(() => worker.status().jobs).toEqual([]);
  });
});

describe("drain", () => {
  test("finishes what runs, takes nothing new, and goes on when told", async ({
    queue,
    startWorker,
  }) => {
    const started = deferred();
    const finish = deferred();
    const workflow = oneStep(async () => {
      started.resolve();
      await finish.promise;
    });
    const { worker } = startWorker({ workflows: [workflow], concurrency: 2 });
    const first = await begin(queue, workflow);
    await started.promise;
    let isDrained = false;
    const drained = worker.drain().then(() => {
      isDrained = true;
    });
    expect(worker.status()).toMatchObject({ isDraining: true });
    const second = await begin(queue, workflow);
    worker.ring();
    finish.resolve();
    await over(queue, first);
    await drained;
    expect(isDrained).toBe(true);
    expect(await jobOf(queue, second)).toMatchObject({ state: "pending" });
    worker.resume();
    expect(await over(queue, second)).toMatchObject({ status: "succeeded" });
  });

  test.for(["paused", "draining"])(
    "is asked for by the hub, too: %s",
    async (status, { queue, database, startWorker }) => {
      const workflow = oneStep(async () => {});
      let claims = 0;
      const { worker } = startWorker({
        workflows: [workflow],
        queue: {
          ...queue,
          claim(session, options) {
            claims += 1;
            return queue.claim(session, options);
          },
        },
      });
      await expect.poll(() => worker.status().nodeStatus).toBe("active");
      await database.sql`update public.openclaw_instances set status = ${status}`;
      await expect.poll(() => worker.status().nodeStatus).toBe(status);
      const before = claims;
      const runId = await begin(queue, workflow);
      const heartbeat = worker.status().lastHeartbeatAt;
      await expect.poll(() => worker.status().lastHeartbeatAt).not.toEqual(heartbeat);
      // One may have been under way.
      expect(claims).toBeLessThanOrEqual(before + 1);
      expect(await jobOf(queue, runId)).toMatchObject({ state: "pending" });
      await database.sql`update public.openclaw_instances set status = 'active'`;
      expect(await over(queue, runId)).toMatchObject({ status: "succeeded" });
    },
  );
});

describe("run", () => {
  test("gives up the grace when it is told to stop at once", async ({ queue, makeWorker }) => {
    const started = deferred<AbortSignal>();
    const workflow = oneStep(async ({ signal }) => {
      started.resolve(signal);
      await untilAborted(signal);
    });
    const { worker } = makeWorker({ workflows: [workflow], graceMs: 3_600_000 });
    const stop = new AbortController();
    const abort = new AbortController();
    const done = worker.run({ signal: stop.signal, abortSignal: abort.signal });
    const runId = await begin(queue, workflow);
    const signal = await started.promise;
    stop.abort();
    expect(signal.aborted).toBe(false);
    abort.abort();
    await done;
    expect(signal.reason).toBeInstanceOf(ShutdownError);
    expect(await jobOf(queue, runId)).toMatchObject({ state: "pending", attempt: 0 });
  });

  test("stops at once although nobody asked it to stop before", async ({ queue, makeWorker }) => {
    const started = deferred();
    const workflow = oneStep(async ({ signal }) => {
      started.resolve();
      await untilAborted(signal);
    });
    const { worker } = makeWorker({ workflows: [workflow], graceMs: 3_600_000 });
    const abort = new AbortController();
    const signal = new AbortController().signal;
    const done = worker.run({ signal, abortSignal: abort.signal });
    const runId = await begin(queue, workflow);
    await started.promise;
    abort.abort();
    await done;
    expect(await jobOf(queue, runId)).toMatchObject({ state: "pending", attempt: 0 });
  });
});
