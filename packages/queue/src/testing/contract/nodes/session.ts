import { randomUUID } from "node:crypto";
import { describe, expect } from "vitest";
import type { NodeMachine } from "../../../sessions.ts";
import { claim, offerAll, only, runningJob, sayHello } from "../../agent.ts";
import { makeJob } from "../../new-job.ts";
import { makePlan } from "../../plan.ts";
import type { QueueTest } from "../../queue-test.ts";
import { expireLeases } from "../../rows.ts";

/** A machine that has been up for an hour. */
const machine = (rest: Partial<NodeMachine> = {}): NodeMachine => ({
  id: randomUUID(),
  boot: randomUUID(),
  upMs: 3_600_000,
  host: "kitchen",
  ...rest,
});

export function sessionContract(test: QueueTest): void {
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
      expect(await queue.hello(report("forge"))).toEqual({
        epoch: 1,
        leaseMs: 45_000,
        requeued: 0,
        database: (await queue.describeDatabase()).id,
      });
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

    // Interleavings: all insert or update the session's row, one after the other. The first
    // makes the epoch, the others find their own incarnation there.
    test("gives all copies of one call the same epoch", async ({ queue }) => {
      const again = report("forge");
      const answers = await Promise.all(Array.from({ length: 8 }, () => queue.hello(again)));
      expect(answers).toEqual(Array.from({ length: 8 }, () => answers[0]));
    });

    // Interleavings: as above, but each finds another one's incarnation and raises the epoch.
    test("keeps one of eight agents with one name, and tells the others that they were superseded", async ({
      queue,
    }) => {
      const sessions = await Promise.all(Array.from({ length: 8 }, () => sayHello(queue, "forge")));
      expect(sessions.map(({ epoch }) => epoch).sort()).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
      for (const session of sessions) {
        const expected = session.epoch === 8 ? "live" : "superseded";
        expect(await queue.heartbeat(session)).toMatchObject({ session: expected });
      }
    });

    // Interleavings: the newer hello is committed before the older one's copy arrives, or the copy
    // waits for its lock: either way it finds its own incarnation among those superseded. Before
    // the newer one, it finds its own session.
    test("refuses the name to a late copy of an older agent's call", async ({ queue }) => {
      const older = report("forge");
      await queue.hello(older);
      const newer = await sayHello(queue, "forge");
      const late = await queue.hello(older);
      expect(await queue.heartbeat({ node: "forge", epoch: late.epoch })).toEqual({
        session: "superseded",
      });
      expect(await queue.heartbeat(newer)).toMatchObject({ session: "live" });
      for (let round = 0; round < 10; round += 1) {
        const [next] = await Promise.all([sayHello(queue, "forge"), queue.hello(older)]);
        expect(await queue.heartbeat(next)).toMatchObject({ session: "live" });
      }
    });

    test("gives a node that was declared dead a new epoch", async ({ queue, database }) => {
      const again = report("forge");
      await queue.hello(again);
      await expireLeases(database);
      await queue.reap();
      expect(await queue.hello(again)).toMatchObject({ epoch: 2 });
    });

    test("is refused to another machine while the lease is valid, and names the holder", async ({
      queue,
      database,
    }) => {
      const kitchen = machine({ host: "kitchen" });
      const holder = await sayHello(queue, "forge", { machine: kitchen });
      const refused = sayHello(queue, "forge", { machine: machine({ host: "attic" }) });
      await expect(refused).rejects.toMatchObject({
        code: "NODE_NAME_IN_USE",
        node: "forge",
        heldBy: { machine: kitchen.id, host: "kitchen", isCopy: false, isHere: false },
        message: expect.stringMatching(/in use on kitchen .* after 4\d s.*LOOM_NODE_NAME/),
      });
      // A hello without a machine's id may come from another machine too.
      await expect(sayHello(queue, "forge")).rejects.toMatchObject({ code: "NODE_NAME_IN_USE" });
      expect(await queue.heartbeat(holder)).toMatchObject({ session: "live" });

      await expireLeases(database);
      expect(await sayHello(queue, "forge", { machine: machine() })).toMatchObject({ epoch: 2 });
      expect(await queue.heartbeat(holder)).toEqual({ session: "superseded" });
    });

    test("is never refused to the same machine: restarted within its lease, or booted anew", async ({
      queue,
    }) => {
      const kitchen = machine();
      await sayHello(queue, "forge", { machine: kitchen });
      expect(await sayHello(queue, "forge", { machine: kitchen })).toMatchObject({ epoch: 2 });
      const booted = { ...kitchen, boot: randomUUID(), upMs: 0 };
      expect(await sayHello(queue, "forge", { machine: booted })).toMatchObject({ epoch: 3 });
      const elsewhere = { ...booted, boot: undefined };
      expect(await sayHello(queue, "forge", { machine: elsewhere })).toMatchObject({ epoch: 4 });
    });

    test("is refused to a copy of the machine, which was up while the holder already was", async ({
      queue,
    }) => {
      const original = machine();
      await sayHello(queue, "forge", { machine: original });
      const copy = { ...original, boot: randomUUID() };
      await expect(sayHello(queue, "forge", { machine: copy })).rejects.toMatchObject({
        code: "NODE_NAME_IN_USE",
        heldBy: { isCopy: true },
        message: expect.stringContaining("machine.json"),
      });
    });

    test("reports a holder on the same machine with another state folder", async ({ queue }) => {
      const here = machine();
      await sayHello(queue, "forge", { machine: here });
      const other = { ...here, id: randomUUID() };
      await expect(sayHello(queue, "forge", { machine: other })).rejects.toMatchObject({
        code: "NODE_NAME_IN_USE",
        heldBy: { isHere: true },
        message: expect.stringContaining("of this machine"),
      });
    });

    // Interleavings: the first hello that inserts the row makes the machine the holder; each other
    // one waits for that row and then finds the holder's machine there. The holder's own copies of
    // the call find their incarnation.
    test("accepts one of eight machines with one name, and all copies of its call", async ({
      queue,
    }) => {
      for (let round = 0; round < 10; round += 1) {
        const name = `forge-${round}`;
        const calls = Array.from({ length: 8 }, () => ({ ...report(name), machine: machine() }));
        const answers = await Promise.allSettled(
          [...calls, ...calls].map((call) => queue.hello(call)),
        );
        const isIn = answers.map(({ status }) => status === "fulfilled");
        expect(isIn.filter(Boolean)).toHaveLength(2);
        expect(isIn.slice(0, 8)).toEqual(isIn.slice(8));
      }
    });

    // Interleavings: a hello of the other machine comes before the heartbeat or after it; both find
    // the lease alive. It may not count what the holder has just renewed for what it saw before.
    test("does not let another machine in between two heartbeats", async ({ queue }) => {
      const holder = await sayHello(queue, "forge", { machine: machine(), leaseMs: 3_000 });
      for (let round = 0; round < 20; round += 1) {
        const [beat, other] = await Promise.allSettled([
          queue.heartbeat(holder),
          sayHello(queue, "forge", { machine: machine() }),
        ]);
        expect(beat).toMatchObject({ value: { session: "live" } });
        expect(other).toMatchObject({ reason: { code: "NODE_NAME_IN_USE" } });
      }
    });

    test("tells a late copy of a superseded call that it was superseded, on any machine", async ({
      queue,
      database,
    }) => {
      const older = { ...report("forge"), machine: machine() };
      await queue.hello(older);
      await expireLeases(database);
      await sayHello(queue, "forge", { machine: machine() });
      expect(await queue.hello(older)).toMatchObject({ epoch: 0 });
    });

    test.for(["node=anvil", "node=forge", "node", "NODE=anvil", "loom-hub", "loom-hub=1"])(
      "does not take %s from a node, nor from its later reports",
      async (capability, { queue }) => {
        const offer = { capabilities: ["docker", capability], slots: 1 };
        await expect(sayHello(queue, "forge", offer)).rejects.toMatchObject({
          code: "INVALID_ARGUMENT",
        });
        const session = await sayHello(queue, "forge", { capabilities: ["docker"] });
        await expect(queue.reportNode(session, offer)).rejects.toMatchObject({
          code: "INVALID_ARGUMENT",
        });
        expect(only(await queue.listNodes())).toMatchObject({ capabilities: ["docker"] });
      },
    );

    test("adds loom-hub to the capabilities of a hub's own node while it is one", async ({
      queue,
    }) => {
      const session = await sayHello(queue, "oracle", { capabilities: ["docker"], isHub: true });
      expect(only(await queue.listNodes()).capabilities).toEqual(["docker", "loom-hub"]);
      await queue.reportNode(session, { capabilities: ["has-nas"], slots: 1 });
      expect(only(await queue.listNodes()).capabilities).toEqual(["has-nas", "loom-hub"]);
      await sayHello(queue, "oracle", { capabilities: ["docker"] });
      expect(only(await queue.listNodes()).capabilities).toEqual(["docker"]);
    });

    test.for([{ host: "two\nlines" }, { host: "x".repeat(254) }, { upMs: -1 }])(
      "refuses the machine %o",
      async (wrong, { queue }) => {
        const hello = queue.hello({ ...report("forge"), machine: { ...machine(), ...wrong } });
        await expect(hello).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
        expect(await queue.listNodes()).toEqual([]);
      },
    );

    test.for([{ leaseMs: 2_999 }, { leaseMs: 3_600_001 }, { slots: -1 }, { slots: 10_001 }])(
      "refuses %o",
      async (wrong, { queue }) => {
        await expect(queue.hello({ ...report("forge"), ...wrong })).rejects.toMatchObject({
          code: "INVALID_ARGUMENT",
        });
        expect(await queue.listNodes()).toEqual([]);
      },
    );

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
        giveBack: false,
        statusEndsMs: null,
        hasOffers: false,
        upgrade: null,
        held: [{ id: job.id, fence: job.fence }],
        cancel: [],
      });
      const [row] = await database.sql`
      select expires_at > now() + interval '40 seconds' as is_renewed from public.loom_node_sessions`;
      expect(row).toEqual({ is_renewed: true });
    });

    test("passes on which jobs should be cancelled, until they are settled", async ({ queue }) => {
      const { job, session } = await runningJob(queue);
      await queue.enqueue([makeJob({ host: "forge" })]);
      const other = only(await claim(queue, session, { seq: 2 }));
      await queue.cancel([job.id]);
      expect(await queue.heartbeat(session)).toMatchObject({
        held: [{ id: job.id }, { id: other.id }],
        cancel: [job.id],
      });
      await queue.settle("forge", [{ ...job, outcome: "released" }]);
      expect(await queue.heartbeat(session)).toMatchObject({
        held: [{ id: other.id }],
        cancel: [],
      });
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

    test("still counts after the lease has expired if no hub has reaped it", async ({
      queue,
      database,
    }) => {
      const session = await sayHello(queue, "forge");
      await database.sql`update public.loom_node_sessions set expires_at = now() - interval '1 hour'`;
      expect(await queue.heartbeat(session)).toMatchObject({ session: "live" });
    });
  });
}
