import { randomUUID } from "node:crypto";
import { makePlan } from "@loom/queue/testing";
import { describe, expect } from "vitest";
import { claim, offerAll, only, sayHello, test } from "./fixtures.ts";

const report = (name: string, incarnation: string = randomUUID()) => ({
  name,
  incarnation,
  leaseMs: 45_000,
  capabilities: ["has-gpu", "docker", "docker"],
  slots: 2,
  agentVersion: "0.1.0",
  facts: { os: "linux" },
});

describe("hello", () => {
  test("makes the node known, with what it offers", async ({ queue }) => {
    expect(await queue.hello(report("forge"))).toEqual({ epoch: 1, leaseMs: 45_000, requeued: 0 });
    expect(await queue.listNodes()).toMatchObject([
      {
        name: "forge",
        online: true,
        status: "active",
        capabilities: ["docker", "has-gpu"],
        capabilitiesVersion: 1,
        slots: 2,
        running: 0,
        offered: 0,
        facts: { os: "linux" },
      },
    ]);
  });

  test("answers a repeated call as the first time", async ({ queue }) => {
    const again = report("forge");
    const first = await queue.hello(again);
    expect(await queue.hello(again)).toEqual(first);
  });

  test("counts a version of the capabilities when they change", async ({ queue }) => {
    await queue.hello(report("forge"));
    await queue.hello({ ...report("forge"), capabilities: ["docker"] });
    expect(only(await queue.listNodes())).toMatchObject({ capabilitiesVersion: 2 });
  });

  test("gives the jobs of the older agent back at once, without spending an attempt", async ({
    queue,
  }) => {
    const { runId } = await queue.startRun(makePlan([{ step: "only" }]));
    await offerAll(queue, (await sayHello(queue, "forge")).node);
    const older = { node: "forge", epoch: 1 };
    const job = only(await claim(queue, older));

    expect(await sayHello(queue, "forge")).toMatchObject({ epoch: 2, requeued: 1 });
    expect(only((await queue.getRun(runId)).jobs)).toMatchObject({
      state: "waiting",
      attempt: 0,
      crashRestarts: 1,
    });

    await offerAll(queue, "forge");
    const again = only(await claim(queue, { node: "forge", epoch: 2 }));
    expect(again).toMatchObject({ id: job.id, fence: 2, attempt: 1 });
    // The older agent's process may still live: what it says now comes too late.
    expect(
      await queue.settle("forge", [{ ...job, outcome: "succeeded", result: 1 }]),
    ).toMatchObject([{ answer: "stale" }]);
  });

  // Interleavings: settle before hello's requeue: the job is over and hello leaves it.
  // Settle after it: the job waits and nobody claimed it: salvaged. Never both.
  test("races with the last settle of the older agent without losing the outcome", async ({
    queue,
  }) => {
    for (let round = 0; round < 20; round += 1) {
      const { runId } = await queue.startRun(makePlan([{ step: "only" }]));
      const session = await sayHello(queue, "forge");
      await offerAll(queue, "forge");
      const job = only(await claim(queue, session));
      const [answers] = await Promise.all([
        queue.settle("forge", [{ ...job, outcome: "succeeded", result: round }]),
        sayHello(queue, "forge"),
      ]);
      expect(["accepted", "salvaged"]).toContain(only(answers).answer);
      expect(await queue.getRun(runId)).toMatchObject({
        status: "succeeded",
        jobs: [{ state: "succeeded", result: round, attempt: 1 }],
      });
    }
  });

  test.for(["", "Upper", "two words", "a".repeat(64)])(
    "refuses the node name '%s'",
    async (name, { queue }) => {
      await expect(queue.hello(report(name))).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
      expect(await queue.listNodes()).toEqual([]);
    },
  );
});

describe("heartbeat", () => {
  test("renews the lease and says what the node holds", async ({ queue, database }) => {
    await queue.startRun(makePlan([{ step: "only" }]));
    const session = await sayHello(queue, "forge");
    await offerAll(queue, "forge");
    const job = only(await claim(queue, session));
    await database.sql`update public.loom_node_sessions set expires_at = now() + interval '1 second'`;

    expect(await queue.heartbeat(session)).toEqual({
      session: "live",
      leaseMs: 45_000,
      status: "active",
      held: [{ id: job.id, fence: job.fence }],
      cancel: [],
    });
    const [row] = await database.sql`
      select expires_at > now() + interval '40 seconds' as is_renewed from public.loom_node_sessions`;
    expect(row).toEqual({ is_renewed: true });
  });

  test("passes on that a job should be cancelled", async ({ queue, database }) => {
    await queue.startRun(makePlan([{ step: "only" }]));
    const session = await sayHello(queue, "forge");
    await offerAll(queue, "forge");
    const job = only(await claim(queue, session));
    await database.sql`update public.loom_job_queue set cancel_requested_at = now()`;
    expect(await queue.heartbeat(session)).toMatchObject({ cancel: [job.id] });
  });

  test("tells an older agent that it was superseded, and a reaped one that it is dead", async ({
    queue,
    database,
  }) => {
    const older = await sayHello(queue, "forge");
    const newer = await sayHello(queue, "forge");
    expect(await queue.heartbeat(older)).toEqual({ session: "superseded" });

    await database.sql`update public.loom_node_sessions set dead = true`;
    expect(await queue.heartbeat(newer)).toEqual({ session: "dead" });
  });

  test("of an expired lease still counts while nobody has reaped it", async ({
    queue,
    database,
  }) => {
    const session = await sayHello(queue, "forge");
    await database.sql`update public.loom_node_sessions set expires_at = now() - interval '1 hour'`;
    expect(await queue.heartbeat(session)).toMatchObject({ session: "live" });
  });
});
