import { createQueue, QueueAccessError } from "@loom/queue";
import { connect } from "@loom/queue/testing";
import { LeaseLostError, ShutdownError } from "@loom/worker";
import { describe, expect } from "vitest";
import {
  begin,
  deferred,
  inParts,
  jobOf,
  oneStep,
  over,
  recordSettles,
  test,
  untilAborted,
} from "./fixtures.ts";

describe("run", () => {
  test("stops gracefully: finishes what it can, releases the rest, claims nothing more", async ({
    queue,
    startWorker,
  }) => {
    const finish = deferred();
    const signals = new Map<string, AbortSignal>();
    const events: string[] = [];
    const workflow = oneStep(async ({ signal, run }) => {
      signals.set(String(run.id), signal);
      if (run.id === quick) return finish.promise;
      await untilAborted(signal).finally(() => events.push("aborted"));
    });
    const quick = await begin(queue, workflow);
    const slow = await begin(queue, workflow);
    const never = await begin(queue, workflow);
    const { done, stop } = startWorker({
      workflows: [workflow],
      concurrency: 2,
      graceMs: 1_000,
      onSettled: () => void events.push("settled"),
    });
    await expect.poll(() => signals.size).toBe(2);

    stop();
    finish.resolve();
    await done;
    expect(events).toEqual(["settled", "aborted", "settled"]);
    expect(await jobOf(queue, quick)).toMatchObject({ state: "succeeded" });
    expect(signals.get(slow)?.reason).toBeInstanceOf(ShutdownError);
    expect(await jobOf(queue, slow)).toMatchObject({
      state: "pending",
      attempt: 0,
      crashRestarts: 0,
      waitingReason: { code: "released", summary: "the worker is stopping" },
    });
    expect(await jobOf(queue, never)).toMatchObject({ state: "pending", ranOn: null });
    expect([...signals.keys()]).toEqual([quick, slow]);
  });

  test("gives back jobs that a claim brings after the stop", async ({ queue, startWorker }) => {
    let runs = 0;
    const workflow = oneStep(async () => {
      runs += 1;
    });
    const claimed = deferred();
    const answered = deferred();
    const slow = inParts({
      ...queue,
      async claim(session, options) {
        const answer = await queue.claim(session, options);
        claimed.resolve();
        await answered.promise;
        return answer;
      },
    });
    const runId = await begin(queue, workflow);
    const { done, stop } = startWorker({ workflows: [workflow], queue: slow });
    await claimed.promise;
    expect(await jobOf(queue, runId)).toMatchObject({ state: "running" });
    stop();
    answered.resolve();
    await done;
    expect(runs).toBe(0);
    expect(await jobOf(queue, runId)).toMatchObject({ state: "pending", attempt: 0 });
  });

  test("keeps the lease while it stops", async ({ queue, database, startWorker }) => {
    const started = deferred();
    const finish = deferred();
    const workflow = oneStep(async () => {
      started.resolve();
      await finish.promise;
    });
    const { done, stop } = startWorker({ workflows: [workflow], graceMs: 60_000 });
    const runId = await begin(queue, workflow);
    await started.promise;
    stop();
    await database.sql`update public.loom_node_sessions set expires_at = clock_timestamp() - interval '1 s'`;
    await expect
      .poll(
        () =>
          database.sql`select expires_at > clock_timestamp() as ok from public.loom_node_sessions`,
      )
      .toEqual([{ ok: true }]);
    finish.resolve();
    await done;
    expect(await jobOf(queue, runId)).toMatchObject({ state: "succeeded" });
  });

  test("aborts a step at once whose job is lost while it stops", async ({
    queue,
    database,
    startWorker,
  }) => {
    const started = deferred<AbortSignal>();
    const workflow = oneStep(async ({ signal }) => {
      started.resolve(signal);
      await untilAborted(signal);
    });
    const recorded = recordSettles(queue);
    const { done, stop } = startWorker({
      workflows: [workflow],
      queue: recorded.queue,
      graceMs: 60_000,
    });
    await begin(queue, workflow);
    const signal = await started.promise;
    stop();
    await database.sql`update public.loom_node_sessions set dead = true`;
    await done;
    expect(signal.reason).toBeInstanceOf(LeaseLostError);
    await expect.poll(() => recorded.settled).toEqual([]);
  });

  test("does nothing when it is stopped before it starts", async ({ queue, makeWorker }) => {
    const { worker } = makeWorker({ workflows: [] });
    await worker.run({ signal: AbortSignal.abort() });
    expect(await queue.listNodes()).toEqual([]);
  });

  test("ends with the database's refusal", async ({ database, startWorker }) => {
    const refused = createQueue({ client: connect(database, database.anonKey) });
    const { done } = startWorker({ workflows: [], queue: refused });
    await expect(done).rejects.toThrow(QueueAccessError);
  });

  test("lets running steps finish when the database refuses it", async ({ queue, startWorker }) => {
    const started = deferred();
    const finish = deferred();
    const workflow = oneStep(async () => {
      started.resolve();
      await finish.promise;
    });
    const refused = new QueueAccessError("loom_heartbeat", "expired");
    let isRefused = false;
    const expiring = inParts({
      ...queue,
      heartbeat: (session) => (isRefused ? Promise.reject(refused) : queue.heartbeat(session)),
    });
    const { done, lines } = startWorker({
      workflows: [workflow],
      queue: expiring,
      graceMs: 60_000,
    });
    const runId = await begin(queue, workflow);
    await started.promise;
    isRefused = true;
    const ended = done.catch((error: unknown) => error);
    finish.resolve();
    expect(await ended).toBe(refused);
    expect(await jobOf(queue, runId)).toMatchObject({ state: "succeeded" });
    expect(lines.filter(({ level }) => level === "error")).toEqual([]);
  });

  test("runs no more steps at a time than it may", async ({ queue, startWorker }) => {
    let running = 0;
    let most = 0;
    const workflow = oneStep(async () => {
      running += 1;
      most = Math.max(most, running);
      await new Promise(setImmediate);
      running -= 1;
    });
    startWorker({ workflows: [workflow], concurrency: 3 });
    const runs = await Promise.all(Array.from({ length: 20 }, () => begin(queue, workflow)));
    for (const runId of runs) await over(queue, runId);
    expect(most).toBe(3);
  });

  // The database thinks that the slot is free: only the worker knows better.
  test("keeps the slot of a step that goes on after its session was lost", async ({
    queue,
    database,
    startWorker,
  }) => {
    const finish = deferred();
    const started: number[] = [];
    let running = 0;
    const workflow = oneStep(async () => {
      running += 1;
      started.push(running);
      await finish.promise;
      running -= 1;
    });
    let heartbeats = 0;
    const counting = inParts({
      ...queue,
      heartbeat: (session) => {
        heartbeats += 1;
        return queue.heartbeat(session);
      },
    });
    const { worker } = startWorker({ workflows: [workflow], queue: counting, concurrency: 1 });
    const lost = await begin(queue, workflow);
    await expect.poll(() => started.length).toBe(1);
    await begin(queue, workflow);
    await database.sql`update public.loom_node_sessions set dead = true`;
    await expect.poll(() => queue.listNodes()).toMatchObject([{ epoch: 2, running: 0 }]);
    worker.wake();
    const before = heartbeats;
    await expect.poll(() => heartbeats).toBeGreaterThan(before + 5);
    expect(started).toEqual([1]);
    finish.resolve();
    expect(await over(queue, lost)).toMatchObject({ status: "succeeded" });
    expect(new Set(started)).toEqual(new Set([1]));
  });

  test("claims offers when it is woken and when a slot becomes free", async ({
    queue,
    startWorker,
  }) => {
    const workflow = oneStep(async () => {});
    const claimed = deferred();
    const watched = inParts({
      ...queue,
      async claim(session, options) {
        const answer = await queue.claim(session, options);
        claimed.resolve();
        return answer;
      },
    });
    const { worker } = startWorker({ workflows: [workflow], queue: watched, pollMs: 600_000 });
    await claimed.promise;
    const first = await begin(queue, workflow);
    const second = await begin(queue, workflow);
    worker.wake();
    expect(await over(queue, first)).toMatchObject({ status: "succeeded" });
    expect(await over(queue, second)).toMatchObject({ status: "succeeded" });
  });

  test("polls for offers without being woken", async ({ queue, startWorker }) => {
    const workflow = oneStep(async () => {});
    startWorker({ workflows: [workflow], pollMs: 50 });
    await expect.poll(() => queue.listNodes()).toHaveLength(1);
    const runId = await begin(queue, workflow);
    expect(await over(queue, runId)).toMatchObject({ status: "succeeded" });
  });
});
