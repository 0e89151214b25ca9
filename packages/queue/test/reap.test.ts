import type { Database } from "@loom/local-db";
import type { Queue } from "@loom/queue";
import { makePlan } from "@loom/queue/testing";
import { describe, expect } from "vitest";
import { claim, offerAll, only, sayHello, test } from "./fixtures.ts";

// The row moves, not the clock: a lease that ended a while ago, watched all the time.
const expireLease = (database: Database) =>
  database.sql`update public.loom_node_sessions set expires_at = now() - interval '1 second'`;

async function runningJob(queue: Queue) {
  const { runId } = await queue.startRun(makePlan([{ step: "only" }]));
  const session = await sayHello(queue, "forge");
  await offerAll(queue, "forge");
  const job = only(await claim(queue, session));
  return { session, job, runId, read: async () => only((await queue.getRun(runId)).jobs) };
}

describe("reap", () => {
  test("does nothing to a node that is in time", async ({ queue }) => {
    const { read } = await runningJob(queue);
    expect(await queue.reap()).toEqual({ reaped: true, dead: [], requeued: 0, expiredOffers: 0 });
    expect(await read()).toMatchObject({ state: "running" });
  });

  test("declares a silent node dead and gives its jobs back", async ({ queue, database }) => {
    const { read } = await runningJob(queue);
    await expireLease(database);
    expect(await queue.reap()).toEqual({
      reaped: true,
      dead: ["forge"],
      requeued: 1,
      expiredOffers: 0,
    });
    expect(await read()).toMatchObject({ state: "waiting", attempt: 0, crashRestarts: 1 });
    expect(only(await queue.listNodes())).toMatchObject({ online: false });
  });

  test("gives everybody a fresh lease when nobody had watched", async ({ queue, database }) => {
    const { session, read } = await runningJob(queue);
    await expireLease(database);
    await database.sql`update public.loom_leaders set ticked_at = now() - interval '10 minutes'`;
    expect(await queue.reap()).toMatchObject({ dead: [], requeued: 0 });
    expect(await read()).toMatchObject({ state: "running" });
    expect(await queue.heartbeat(session)).toMatchObject({ session: "live" });
  });

  test("refuses the late result once somebody else has the job", async ({ queue, database }) => {
    const { job } = await runningJob(queue);
    await expireLease(database);
    await queue.reap();
    const other = await sayHello(queue, "oracle");
    await offerAll(queue, "oracle");
    const again = only(await claim(queue, other));
    expect(again).toMatchObject({ id: job.id, fence: 2 });

    expect(
      await queue.settle("forge", [{ ...job, outcome: "succeeded", result: "late" }]),
    ).toMatchObject([{ answer: "unknown" }]);
    expect(
      await queue.settle("oracle", [{ ...again, outcome: "succeeded", result: "right" }]),
    ).toMatchObject([{ answer: "accepted" }]);
  });

  test.for(["waiting", "pending"])(
    "salvages a late result while the job is %s",
    async (state, { queue, database }) => {
      const { job, read, runId } = await runningJob(queue);
      await expireLease(database);
      await queue.reap();
      if (state === "pending") await offerAll(queue, "oracle");
      expect(
        await queue.settle("forge", [{ ...job, outcome: "succeeded", result: "late" }]),
      ).toMatchObject([{ answer: "salvaged", state: "succeeded" }]);
      expect(await read()).toMatchObject({
        result: "late",
        attempt: 1,
        ranOn: "forge",
        targetHost: "forge",
      });
      expect(await queue.getRun(runId)).toMatchObject({ status: "succeeded" });
    },
  );

  test("does not take a late failure for an outcome", async ({ queue, database }) => {
    const { job, read } = await runningJob(queue);
    await expireLease(database);
    await queue.reap();
    expect(
      await queue.settle("forge", [{ ...job, outcome: "failed", error: "late" }]),
    ).toMatchObject([{ answer: "stale" }]);
    expect(await read()).toMatchObject({ state: "waiting" });
  });

  // Interleavings: settle locks first: the reaper skips the job, or finds it over.
  // Reaper first: the settle finds it waiting, and it is salvaged. One outcome either way.
  test("races with a settle without losing or repeating the outcome", async ({
    queue,
    database,
  }) => {
    for (let round = 0; round < 20; round += 1) {
      const { job, read } = await runningJob(queue);
      await expireLease(database);
      const [answers] = await Promise.all([
        queue.settle("forge", [{ ...job, outcome: "succeeded", result: round }]),
        queue.reap(),
      ]);
      expect(["accepted", "salvaged"]).toContain(only(answers).answer);
      await queue.reap();
      expect(await read()).toMatchObject({ state: "succeeded", result: round, attempt: 1 });
    }
  });

  // Interleavings: the duty's row lets one work; the others skip it and do nothing.
  test("gives a job back once, however many hubs reap", async ({ queue, database }) => {
    const { read } = await runningJob(queue);
    await expireLease(database);
    const answers = await Promise.all(Array.from({ length: 6 }, () => queue.reap()));
    expect(answers.reduce((sum, { requeued }) => sum + requeued, 0)).toBe(1);
    expect(await read()).toMatchObject({ crashRestarts: 1 });
  });

  test("fails a job that loses its node again and again, and says so", async ({
    queue,
    database,
  }) => {
    const { runId } = await queue.startRun(makePlan([{ step: "poison" }]));
    for (let loss = 0; loss < 4; loss += 1) {
      const session = await sayHello(queue, "forge");
      await offerAll(queue, "forge");
      only(await claim(queue, session));
      await expireLease(database);
      await queue.reap();
    }
    expect(await queue.getRun(runId)).toMatchObject({
      status: "failed",
      jobs: [{ state: "failed", crashRestarts: 3, error: { code: "NODE_LOST" } }],
    });
  });

  test("gives a job back that its node does not settle by the deadline", async ({
    queue,
    database,
  }) => {
    const { read } = await runningJob(queue);
    await database.sql`update public.loom_job_queue set deadline_at = now() - interval '1 second'`;
    expect(await queue.reap()).toMatchObject({ dead: [], requeued: 1 });
    expect(await read()).toMatchObject({ state: "waiting" });
  });

  test("puts an offer that nobody took back to waiting, with the reason", async ({
    queue,
    database,
  }) => {
    const { runId } = await queue.startRun(
      makePlan([{ step: "only" }, { step: "pinned", host: "forge" }]),
    );
    await offerAll(queue, "forge");
    await database.sql`update public.loom_job_queue set offer_expires_at = now() - interval '1 second' where offer_expires_at is not null`;
    expect(await queue.reap()).toMatchObject({ expiredOffers: 1 });
    expect((await queue.getRun(runId)).jobs).toMatchObject([
      { state: "waiting", waitingReason: { code: "offer_expired" } },
      { state: "pending", targetHost: "forge" },
    ]);
  });
});
