import { randomUUID } from "node:crypto";
import { type Queue, QueueUnavailableError } from "@loom/queue";
import { passDeadlines } from "@loom/queue/testing";
import { CancelledError, LeaseLostError, SupersededError } from "@loom/worker";
import { defineWorkflow } from "@loom/workflow";
import { describe, expect } from "vitest";
import {
  begin,
  deferred,
  jobOf,
  oneStep,
  over,
  recordSettles,
  test,
  untilAborted,
} from "./fixtures.ts";

/** A step that is aborted the first time, keeping the reason, and succeeds the second time. */
function abortedOnce() {
  const started = deferred();
  const reasons: unknown[] = [];
  let runs = 0;
  const workflow = oneStep(async ({ signal }) => {
    runs += 1;
    if (runs > 1) return "second";
    started.resolve();
    try {
      return await untilAborted(signal);
    } finally {
      reasons.push(signal.reason);
    }
  });
  return { workflow, started: started.promise, reasons };
}

describe("run", () => {
  test("keeps the lease while a step runs", async ({ queue, database, startWorker }) => {
    const started = deferred();
    const finish = deferred();
    const workflow = oneStep(async () => {
      started.resolve();
      await finish.promise;
    });
    startWorker({ workflows: [workflow] });
    const runId = await begin(queue, workflow);
    await started.promise;

    await database.sql`update public.loom_node_sessions set expires_at = clock_timestamp() - interval '1 s'`;
    await expect
      .poll(
        () =>
          database.sql`select expires_at > clock_timestamp() as ok from public.loom_node_sessions`,
      )
      .toEqual([{ ok: true }]);
    expect(await queue.reap()).toMatchObject({ dead: [], requeued: 0 });
    finish.resolve();
    expect(await over(queue, runId)).toMatchObject({
      status: "succeeded",
      jobs: [{ attempt: 1, crashRestarts: 0 }],
    });
  });

  test("aborts a step whose session was declared dead, and runs its job again", async ({
    queue,
    database,
    startWorker,
  }) => {
    const { workflow, started, reasons } = abortedOnce();
    const recorded = recordSettles(queue);
    startWorker({ workflows: [workflow], queue: recorded.queue });
    const runId = await begin(queue, workflow);
    await started;

    await database.sql`update public.loom_node_sessions set dead = true`;
    expect(await over(queue, runId)).toMatchObject({
      status: "succeeded",
      jobs: [{ result: "second", attempt: 1, crashRestarts: 1 }],
    });
    expect(reasons).toEqual([expect.any(LeaseLostError)]);
    await expect
      .poll(() => recorded.settled)
      .toEqual([{ fence: 2, outcome: "succeeded", answer: "accepted" }]);
  });

  test("aborts a step whose job the database gave back", async ({
    queue,
    database,
    startWorker,
  }) => {
    const { workflow, started, reasons } = abortedOnce();
    startWorker({ workflows: [workflow] });
    const runId = await begin(queue, workflow);
    await started;

    await passDeadlines(database);
    // The reaper passes over a session that a heartbeat renews at this moment.
    await expect.poll(() => queue.reap()).toMatchObject({ dead: [], requeued: 1 });
    expect(await over(queue, runId)).toMatchObject({ jobs: [{ result: "second" }] });
    expect(reasons).toMatchObject([{ code: "LEASE_LOST" }]);
    expect(await queue.listNodes()).toMatchObject([{ epoch: 1 }]);
  });

  // Interleavings: the database gives a job back, and a claim brings it again before a heartbeat has said so.
  // Regressions: the second claim was dropped, and its job hung until its deadline; then both attempts ran side by side.
  test("runs a job that comes back only when its old attempt has ended", async ({
    queue,
    database,
    startWorker,
  }) => {
    const started = deferred();
    const finish = deferred();
    let running = 0;
    let most = 0;
    let runs = 0;
    const workflow = oneStep(async () => {
      runs += 1;
      running += 1;
      most = Math.max(most, running);
      started.resolve();
      if (runs === 1) await finish.promise;
      running -= 1;
      return `run ${runs}`;
    });
    const recorded = recordSettles(queue);
    let hasHeartbeats = true;
    const { worker } = startWorker({
      workflows: [workflow],
      queue: {
        ...recorded.queue,
        // A heartbeat would say that the first attempt is lost.
        exchange: (session, wishes) =>
          recorded.queue.exchange(session, { ...wishes, ...(!hasHeartbeats && { renew: false }) }),
      },
      concurrency: 2,
    });
    const runId = await begin(queue, workflow);
    await started.promise;
    hasHeartbeats = false;

    await passDeadlines(database);
    await queue.reap();
    worker.wake();
    await expect
      .poll(() => recorded.settled)
      .toEqual([{ fence: 2, outcome: "declined", answer: "accepted" }]);
    hasHeartbeats = true;
    finish.resolve();
    expect(await over(queue, runId)).toMatchObject({ jobs: [{ result: "run 2", attempt: 1 }] });
    expect(most).toBe(1);
  });

  test("saves the result of a step that finishes after its session was lost", async ({
    queue,
    database,
    startWorker,
  }) => {
    const started = deferred();
    const finish = deferred();
    const workflow = defineWorkflow({ name: "placed" }).step("only", {}, async ({ signal }) => {
      started.resolve();
      await untilAborted(signal).catch(() => {});
      await finish.promise;
      return "saved";
    });
    const recorded = recordSettles(queue);
    const { worker } = startWorker({ workflows: [workflow], queue: recorded.queue });
    const runId = await begin(queue, workflow);
    const [waiting] = await queue.listWaiting();
    const offer = { job: waiting?.id ?? 0, node: "forge", placement: null };
    await queue.place({ offers: [offer], refusals: [] });
    worker.wake();
    await started.promise;

    await database.sql`update public.loom_node_sessions set dead = true`;
    await expect.poll(async () => (await jobOf(queue, runId)).state).toBe("waiting");
    finish.resolve();
    expect(await over(queue, runId)).toMatchObject({ jobs: [{ result: "saved" }] });
    await expect
      .poll(() => recorded.settled)
      .toEqual([{ fence: 1, outcome: "succeeded", answer: "salvaged" }]);
  });

  test("lets a step go on while the database cannot be reached, and settles it after", async ({
    queue,
    database,
    startWorker,
  }) => {
    const started = deferred<AbortSignal>();
    const finish = deferred();
    const workflow = defineWorkflow({ name: "placed" }).step("only", {}, async ({ signal }) => {
      started.resolve(signal);
      await finish.promise;
      return "finished meanwhile";
    });
    let isAway = false;
    let refused = { heartbeat: 0, settle: 0 };
    const reach = async <Answer>(name: "heartbeat" | "settle", call: () => Promise<Answer>) => {
      if (!isAway) return call();
      refused = { ...refused, [name]: refused[name] + 1 };
      throw new QueueUnavailableError(name, "network", "no route to host");
    };
    const recorded = recordSettles(queue);
    const partitioned: Queue = {
      ...recorded.queue,
      exchange(session, wishes) {
        const name = wishes.settle?.length ? "settle" : "heartbeat";
        return reach(name, () => recorded.queue.exchange(session, wishes));
      },
    };
    const { worker } = startWorker({ workflows: [workflow], queue: partitioned });
    const runId = await begin(queue, workflow);
    await expect.poll(() => queue.listNodes()).toHaveLength(1);
    const [waiting] = await queue.listWaiting();
    const offer = { job: waiting?.id ?? 0, node: "forge", placement: null };
    await queue.place({ offers: [offer], refusals: [] });
    worker.wake();
    const signal = await started.promise;

    isAway = true;
    await expect.poll(() => refused.heartbeat).toBeGreaterThan(2);
    await database.sql`update public.loom_node_sessions set expires_at = clock_timestamp()`;
    expect(await queue.reap()).toMatchObject({ dead: ["forge"], requeued: 1 });
    expect(signal.aborted).toBe(false);
    finish.resolve();
    await expect.poll(() => refused.settle).toBeGreaterThan(1);
    expect((await queue.getRun(runId)).status).toBe("running");
    isAway = false;
    expect(await over(queue, runId)).toMatchObject({ jobs: [{ result: "finished meanwhile" }] });
    await expect
      .poll(() => recorded.settled)
      .toEqual([{ fence: 1, outcome: "succeeded", answer: "salvaged" }]);
  });

  // Interleavings: a step ends while a call is under way that renews the lease, so its outcome goes by itself; the
  // answer to the heartbeat is as of before, or does not list the job any more.
  test("settles by itself what ends while a call takes long, and no answer aborts anything", async ({
    queue,
    startWorker,
  }) => {
    const started = deferred<AbortSignal>();
    const finish = deferred();
    const workflow = oneStep(async ({ signal }) => {
      started.resolve(signal);
      await finish.promise;
    });
    const asked = deferred();
    const answered = deferred();
    let isSlow = false;
    const slow: Queue = {
      ...queue,
      async exchange(session, wishes) {
        if (!isSlow || wishes.settle?.length) return queue.exchange(session, wishes);
        asked.resolve();
        await answered.promise;
        return queue.exchange(session, wishes);
      },
    };
    const { lines } = startWorker({ workflows: [workflow], queue: slow });
    const runId = await begin(queue, workflow);
    const signal = await started.promise;
    isSlow = true;
    await asked.promise;
    finish.resolve();
    expect(await over(queue, runId)).toMatchObject({ status: "succeeded" });
    isSlow = false;
    answered.resolve();
    const next = await begin(queue, workflow);
    expect(await over(queue, next)).toMatchObject({ status: "succeeded" });
    expect(signal.aborted).toBe(false);
    expect(lines.filter(({ level }) => level !== "info" && level !== "debug")).toEqual([]);
  });

  // Interleavings: a claim's answer is on its way while the session is declared dead. Its jobs are started, and the
  // next heartbeat aborts them.
  test("runs a job again whose session was lost while the claim was answered", async ({
    queue,
    database,
    startWorker,
  }) => {
    const attempts: AbortSignal[] = [];
    const workflow = oneStep(async ({ signal }) => {
      attempts.push(signal);
      if (attempts.length === 1) await untilAborted(signal);
    });
    const recorded = recordSettles(queue);
    const slow: Queue = {
      ...recorded.queue,
      async exchange(session, wishes) {
        const answer = await recorded.queue.exchange(session, wishes);
        if (attempts.length === 0 && answer.claim?.session === "live" && answer.claim.jobs[0]) {
          await database.sql`update public.loom_node_sessions set dead = true`;
        }
        return answer;
      },
    };
    const runId = await begin(queue, workflow);
    startWorker({ workflows: [workflow], queue: slow });
    expect(await over(queue, runId)).toMatchObject({ jobs: [{ attempt: 1, crashRestarts: 1 }] });
    expect(attempts).toHaveLength(2);
    await expect
      .poll(() => recorded.settled)
      .toEqual([{ fence: 2, outcome: "succeeded", answer: "accepted" }]);
  });

  test("stops when another agent took over its name, and leaves it the name", async ({
    queue,
    startWorker,
  }) => {
    const { workflow, started, reasons } = abortedOnce();
    const recorded = recordSettles(queue);
    const { done } = startWorker({ workflows: [workflow], queue: recorded.queue, graceMs: 60_000 });
    const runId = await begin(queue, workflow);
    await started;

    const incarnation = randomUUID();
    const report = { name: "forge", incarnation, leaseMs: 45_000, capabilities: [], slots: 1 };
    expect(await queue.hello(report)).toMatchObject({ epoch: 2, requeued: 1 });
    await expect(done).rejects.toThrow(SupersededError);
    await expect(done).rejects.toMatchObject({ code: "SUPERSEDED", node: "forge" });
    expect(reasons).toEqual([expect.any(LeaseLostError)]);
    await expect.poll(() => recorded.settled).toEqual([]);
    expect(await queue.listNodes()).toMatchObject([{ epoch: 2, incarnation }]);
    expect(await jobOf(queue, runId)).toMatchObject({ state: "pending", attempt: 0 });
  });

  test("aborts the step of a job that is cancelled, and no other", async ({
    queue,
    database,
    startWorker,
  }) => {
    const signals = new Map<string, AbortSignal>();
    const finish = deferred();
    const workflow = oneStep(async ({ signal, run }) => {
      signals.set(String(run.id), signal);
      await Promise.race([untilAborted(signal), finish.promise]);
    });
    startWorker({ workflows: [workflow], concurrency: 2 });
    const cancelled = await begin(queue, workflow);
    const other = await begin(queue, workflow);
    await expect.poll(() => signals.size).toBe(2);

    await database.sql`update public.loom_jobs set cancel_requested_at = clock_timestamp() where run_id = ${cancelled}`;
    expect(await over(queue, cancelled)).toMatchObject({
      status: "cancelled",
      jobs: [{ state: "cancelled", error: { code: "CANCELLED" } }],
    });
    expect(signals.get(cancelled)?.reason).toBeInstanceOf(CancelledError);
    expect(signals.get(other)?.aborted).toBe(false);
    finish.resolve();
    expect(await over(queue, other)).toMatchObject({ status: "succeeded" });
  });
});
