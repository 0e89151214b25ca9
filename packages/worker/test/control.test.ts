import { ShutdownError } from "@loom/worker";
import { describe, expect, vi } from "vitest";
import { begin, deferred, inParts, jobOf, oneStep, over, test, untilAborted } from "./fixtures.ts";

describe("status", () => {
  test("reports the session, the running steps and their progress", async ({
    queue,
    startWorker,
  }) => {
    const reported = deferred();
    const finish = deferred();
    const workflow = oneStep(async ({ progress }) => {
      progress(0.25, "pulling");
      reported.resolve();
      await finish.promise;
    });
    const { worker } = startWorker({ workflows: [workflow] });
    expect(worker.status()).toEqual({
      session: { state: "none" },
      nodeStatus: null,
      isDraining: false,
      lastHeartbeatAt: null,
      fault: null,
      jobs: [],
    });
    const runId = await begin(queue, workflow);
    await reported.promise;
    const { id } = await jobOf(queue, runId);
    await expect
      .poll(() => worker.status())
      .toEqual({
        session: { state: "open", epoch: 1 },
        nodeStatus: "active",
        isDraining: false,
        lastHeartbeatAt: expect.any(Date),
        fault: null,
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
  test("finishes running steps, takes no new ones, and continues when resumed", async ({
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
    worker.wake();
    finish.resolve();
    await over(queue, first);
    await drained;
    expect(isDrained).toBe(true);
    expect(await jobOf(queue, second)).toMatchObject({ state: "pending" });
    worker.resume();
    expect(await over(queue, second)).toMatchObject({ status: "succeeded" });
  });

  test("gives back at its deadline what runs, at no cost, and is over then", async ({
    queue,
    startWorker,
  }) => {
    const started = deferred();
    const workflow = oneStep(async ({ signal }) => {
      started.resolve();
      await untilAborted(signal);
    });
    const { worker } = startWorker({ workflows: [workflow] });
    const runId = await begin(queue, workflow);
    await started.promise;
    await worker.drain({ withinMs: 1 });
    expect(worker.status()).toMatchObject({ isDraining: true, jobs: [] });
    await expect
      .poll(() => jobOf(queue, runId))
      .toMatchObject({ state: "pending", attempt: 0, crashRestarts: 0 });
  });

  test("forgets its deadline when it is resumed", async ({ queue, startWorker }) => {
    const started = deferred();
    const finish = deferred();
    let wasStopped = false;
    const workflow = oneStep(async ({ signal }) => {
      signal.addEventListener("abort", () => (wasStopped = true));
      started.resolve();
      await finish.promise;
    });
    const { worker } = startWorker({ workflows: [workflow] });
    const runId = await begin(queue, workflow);
    await started.promise;
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    void worker.drain({ withinMs: 1_000 });
    worker.resume();
    vi.advanceTimersByTime(2_000);
    vi.useRealTimers();
    finish.resolve();
    expect(await over(queue, runId)).toMatchObject({ status: "succeeded" });
    expect(wasStopped).toBe(false);
  });

  test.for(["paused", "draining"])(
    "can come from the hub, too: %s",
    async (status, { queue, database, startWorker }) => {
      const workflow = oneStep(async () => {});
      let claims = 0;
      const { worker } = startWorker({
        workflows: [workflow],
        queue: inParts({
          ...queue,
          claim(session, options) {
            claims += 1;
            return queue.claim(session, options);
          },
        }),
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
  test("gives up the grace when it has to stop at once", async ({ queue, makeWorker }) => {
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
