import { randomUUID } from "node:crypto";
import { type Queue, QueueUnavailableError } from "@loom/queue";
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
    expect(recorded.settled).toEqual([{ fence: 2, outcome: "succeeded", answer: "accepted" }]);
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

    await database.sql`update public.loom_job_queue set deadline_at = clock_timestamp()`;
    expect(await queue.reap()).toMatchObject({ dead: [], requeued: 1 });
    expect(await over(queue, runId)).toMatchObject({ jobs: [{ result: "second" }] });
    expect(reasons).toMatchObject([{ code: "LEASE_LOST" }]);
    expect(await queue.listNodes()).toMatchObject([{ epoch: 1 }]);
  });

  // Regression: the second claim was dropped, and its job hung until its deadline.
  test("runs a job again that comes back before its old attempt has ended", async ({
    queue,
    database,
    startWorker,
  }) => {
    const started = deferred();
    const finish = deferred();
    let runs = 0;
    const workflow = oneStep(async () => {
      runs += 1;
      if (runs > 1) return "second";
      started.resolve();
      await finish.promise;
      return "first";
    });
    const recorded = recordSettles(queue);
    startWorker({ workflows: [workflow], queue: recorded.queue, concurrency: 2 });
    const runId = await begin(queue, workflow);
    await started.promise;

    await database.sql`update public.loom_job_queue set deadline_at = clock_timestamp()`;
    await queue.reap();
    expect(await over(queue, runId)).toMatchObject({ jobs: [{ result: "second" }] });
    finish.resolve();
    await expect
      .poll(() => recorded.settled)
      .toEqual([
        { fence: 2, outcome: "succeeded", answer: "accepted" },
        { fence: 1, outcome: "succeeded", answer: "stale" },
      ]);
  });

  test("saves the work of a step that finishes after its session was lost", async ({
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
    worker.ring();
    await started.promise;

    await database.sql`update public.loom_node_sessions set dead = true`;
    await expect.poll(async () => (await jobOf(queue, runId)).state).toBe("waiting");
    finish.resolve();
    expect(await over(queue, runId)).toMatchObject({ jobs: [{ result: "saved" }] });
    expect(recorded.settled).toEqual([{ fence: 1, outcome: "succeeded", answer: "salvaged" }]);
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
      heartbeat: (session) => reach("heartbeat", () => queue.heartbeat(session)),
      settle: (node, items) => reach("settle", () => recorded.queue.settle(node, items)),
    };
    const { worker } = startWorker({ workflows: [workflow], queue: partitioned });
    const runId = await begin(queue, workflow);
    await expect.poll(() => queue.listNodes()).toHaveLength(1);
    const [waiting] = await queue.listWaiting();
    const offer = { job: waiting?.id ?? 0, node: "forge", placement: null };
    await queue.place({ offers: [offer], refusals: [] });
    worker.ring();
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
    expect(recorded.settled).toEqual([{ fence: 1, outcome: "succeeded", answer: "salvaged" }]);
  });

  test("does not miss a job in the answer to an older question", async ({ queue, startWorker }) => {
    const started = deferred<AbortSignal>();
    const finish = deferred();
    const workflow = oneStep(async ({ signal }) => {
      started.resolve(signal);
      await finish.promise;
    });
    const asked = deferred();
    const answered = deferred();
    let heartbeats = 0;
    const slow: Queue = {
      ...queue,
      async heartbeat(session) {
        heartbeats += 1;
        const answer = await queue.heartbeat(session);
        asked.resolve();
        await answered.promise;
        return answer;
      },
    };
    const { worker } = startWorker({ workflows: [workflow], queue: slow });
    await asked.promise;
    const runId = await begin(queue, workflow);
    worker.ring();
    const signal = await started.promise;
    answered.resolve();
    await expect.poll(() => heartbeats).toBeGreaterThan(2);
    expect(signal.aborted).toBe(false);
    finish.resolve();
    expect(await over(queue, runId)).toMatchObject({ status: "succeeded" });
  });

  // Interleavings: a heartbeat waits while the claim finds the session dead and a new one
  // is opened; then the heartbeat finds a newer epoch, which is this worker's own.
  test("is not superseded by its own new session", async ({ queue, database, startWorker }) => {
    const workflow = oneStep(async () => "done");
    const asked = deferred();
    const sent = deferred();
    const answers: string[] = [];
    const slow: Queue = {
      ...queue,
      async heartbeat(session) {
        asked.resolve();
        await sent.promise;
        const answer = await queue.heartbeat(session);
        answers.push(answer.session);
        return answer;
      },
    };
    const { worker, done, stop } = startWorker({ workflows: [workflow], queue: slow });
    await asked.promise;
    await database.sql`update public.loom_node_sessions set dead = true`;
    worker.ring();
    await expect.poll(() => queue.listNodes()).toMatchObject([{ epoch: 2 }]);
    sent.resolve();
    await expect.poll(() => answers.slice(0, 2)).toEqual(["superseded", "live"]);
    const runId = await begin(queue, workflow);
    expect(await over(queue, runId)).toMatchObject({ status: "succeeded" });
    stop();
    await done;
  });

  // Interleavings: a claim's answer is on its way while a heartbeat finds the session dead.
  test("starts no job of a session that was lost while the claim was answered", async ({
    queue,
    database,
    startWorker,
  }) => {
    let runs = 0;
    const workflow = oneStep(async () => {
      runs += 1;
    });
    const claimed = deferred();
    const answered = deferred();
    const recorded = recordSettles(queue);
    const slow: Queue = {
      ...recorded.queue,
      async claim(session, options) {
        const answer = await queue.claim(session, options);
        if (answer.session === "live" && answer.jobs.length > 0) {
          claimed.resolve();
          await answered.promise;
        }
        return answer;
      },
    };
    const runId = await begin(queue, workflow);
    const { lines } = startWorker({ workflows: [workflow], queue: slow });
    await claimed.promise;
    await database.sql`update public.loom_node_sessions set dead = true`;
    await expect
      .poll(() => lines.map(({ message }) => message))
      .toContainEqual(expect.stringContaining("session was declared dead"));
    answered.resolve();
    expect(await over(queue, runId)).toMatchObject({ jobs: [{ attempt: 1, crashRestarts: 1 }] });
    expect(runs).toBe(1);
    expect(recorded.settled).toEqual([{ fence: 2, outcome: "succeeded", answer: "accepted" }]);
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
    expect(recorded.settled).toEqual([]);
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

    await database.sql`update public.loom_job_queue set cancel_requested_at = clock_timestamp() where run_id = ${cancelled}`;
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
