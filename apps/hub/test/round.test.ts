import { setTimeout as sleep } from "node:timers/promises";
import type { Queue } from "@loom/queue";
import { makePlan, startMap } from "@loom/queue/testing";
import { describe, expect } from "vitest";
import { createDispatcher } from "../src/control/dispatch.ts";
import { createFaults } from "../src/control/faults.ts";
import { createLeader } from "../src/control/leader.ts";
import { createRoundLoop } from "../src/control/round.ts";
import { claim, collectLog, sayHello, test } from "./fixtures.ts";

/** The rounds of a hub, what they log, and the calls that they make. */
function roundsOf(queue: Queue, holder = "oracle/1") {
  const { lines, log } = collectLog();
  const faults = createFaults({ log });
  const calls: string[] = [];
  const counted = new Proxy(queue, {
    get(target, name: keyof Queue) {
      calls.push(name);
      return target[name];
    },
  });
  const woken: string[] = [];
  const wakeNode = ({ name }: { name: string }) => void woken.push(name);
  const leader = createLeader({ queue, holder, log });
  const rounds = createRoundLoop({
    queue: counted,
    holder,
    leader,
    dispatcher: createDispatcher({ queue: counted, log, faults, onOffered: wakeNode }),
    wakeNode,
    faults,
    log,
  });
  const round = (wasWoken = false) => rounds.round({ wasWoken });
  return { round, lines, faults, calls, woken, leader };
}

/** The states of a run's steps. */
const statesOf = async (queue: Queue, runId: string) =>
  (await queue.getRun(runId)).jobs.map(({ state }) => state);

const passReaping = test.extend("passReaping", ({ database }) => async () => {
  await database.sql`
    update public.loom_leaders set ticked_at = now() - interval '2 seconds' where duty = 'reaper'`;
});

describe("a round", () => {
  test("costs one call while nothing is to be done, and two to place a job", async ({ queue }) => {
    const { round, calls, woken } = roundsOf(queue);
    await sayHello(queue, "forge");
    await round();
    expect(calls).toEqual(["round"]);
    const { runId } = await queue.startRun(makePlan([{ step: "only" }]));
    await round();
    expect(calls).toEqual(["round", "round", "place"]);
    expect(woken).toEqual(["forge"]);
    expect(await statesOf(queue, runId)).toEqual(["pending"]);
  });

  test("makes items of a step that maps over a list, and the next one follows at once", async ({
    queue,
  }) => {
    const { round, calls } = roundsOf(queue);
    const list = Array.from({ length: 2_600 }, (_, index) => index);
    const { runId } = await startMap(queue, list);
    const made = async () => (await queue.getRun(runId)).jobs[1]?.items?.made;
    // A round keeps the lead and places before the rest is made.
    expect((await round()).ms).toBe(0);
    expect(await made()).toBe(2_000);
    expect(calls.filter((name) => name === "expandMaps")).toHaveLength(4);
    expect((await round()).ms).toBe(0);
    expect(await made()).toBe(2_600);
    expect((await round()).ms).toBeGreaterThan(0);
    expect(calls.filter((name) => name === "expandMaps")).toHaveLength(6);
  });

  test("writes a reason once, and does not read the job again until a node has changed", async ({
    queue,
  }) => {
    const { round, calls, lines } = roundsOf(queue);
    const forge = await sayHello(queue, "forge");
    const { runId } = await queue.startRun(makePlan([{ step: "only", requires: ["has-gpu"] }]));
    for (let count = 0; count < 3; count += 1) await round();
    expect(calls.filter((name) => name === "place")).toHaveLength(1);
    expect(lines.filter(({ msg }) => msg === "job cannot be placed")).toHaveLength(1);
    await queue.reportNode(forge, { capabilities: ["has-gpu"], slots: 1 });
    await round();
    expect(await statesOf(queue, runId)).toEqual(["pending"]);
  });

  test("places a job that comes back to where it was refused before", async ({ queue }) => {
    const { round } = roundsOf(queue);
    const forge = await sayHello(queue, "forge", { slots: 1 });
    const { runId } = await queue.startRun(makePlan([{ step: "a" }, { step: "b" }]));
    await round();
    await round();
    const [job] = await claim(queue, forge, 1);
    if (!job) throw new Error("it was offered");
    await round();
    await queue.settle("forge", [{ id: job.id, fence: job.fence, outcome: "released" }]);
    await round();
    expect((await statesOf(queue, runId)).toSorted()).toEqual(["pending", "waiting"]);
  });

  test("places more than one answer lists without a pause", async ({ queue }) => {
    const { round } = roundsOf(queue);
    await sayHello(queue, "forge", { slots: 220 });
    const steps = Array.from({ length: 220 }, (_, index) => ({ step: `s-${index}` }));
    const { runId } = await queue.startRun(makePlan(steps));
    expect((await round()).ms).toBe(0);
    expect((await round()).ms).toBe(0);
    expect((await round()).ms).toBeGreaterThan(0);
    expect(new Set(await statesOf(queue, runId))).toEqual(new Set(["pending"]));
  });

  passReaping(
    "gives back what a lost node held, and places it on another in the next one",
    async ({ queue, database, passReaping }) => {
      const { round, lines } = roundsOf(queue);
      const forge = await sayHello(queue, "forge");
      const { runId } = await queue.startRun(makePlan([{ step: "only" }]));
      await round();
      expect(await claim(queue, forge, 1)).toHaveLength(1);
      await passReaping();
      await database.sql`update public.loom_node_sessions set expires_at = now() - interval '1 second'`;
      await sayHello(queue, "anvil");
      await round();
      expect(lines).toContainEqual(
        expect.objectContaining({ msg: "reaped", dead: ["forge"], requeued: 1 }),
      );
      await round();
      expect(lines.at(-1)).toMatchObject({ msg: "job offered", runId, node: "anvil" });
    },
  );

  passReaping(
    "takes back an offer that its node does not claim, and places it at once",
    async ({ queue, database, passReaping }) => {
      const { round, lines } = roundsOf(queue);
      await sayHello(queue, "forge");
      await queue.startRun(makePlan([{ step: "only" }]));
      await round();
      await passReaping();
      await database.sql`update public.loom_ready set offer_expires_at = now() - interval '1 second'`;
      await round();
      expect(lines.map(({ msg }) => msg).filter((msg) => msg !== "leading")).toEqual([
        "job offered",
        "reaped",
        "job offered",
      ]);
    },
  );

  test("fails what was not started in time, as soon as that is due", async ({ queue }) => {
    const { round } = roundsOf(queue);
    const [job] = await queue.enqueue([
      { workflow: "deploy", step: "late", input: null, startWithinMs: 40 },
    ]);
    let pauseMs = 0;
    await expect
      .poll(async () => {
        pauseMs = Math.max(pauseMs, (await round()).ms);
        return (await queue.getJob(job?.id ?? 0)).state;
      })
      .toBe("failed");
    expect(await queue.getJob(job?.id ?? 0)).toMatchObject({ error: { code: "EXPIRED" } });
  });

  test("takes a node of the shortest lease for lost, although nothing else happens", async ({
    queue,
    database,
  }) => {
    const { round } = roundsOf(queue);
    await sayHello(queue, "forge", { leaseMs: 3_000 });
    const until = performance.now() + 8_000;
    let dead: object[] = [];
    while (dead.length === 0 && performance.now() < until) {
      await sleep((await round()).ms);
      dead = await database.sql`select node from public.loom_node_sessions where dead`;
    }
    expect(dead).toEqual([{ node: "forge" }]);
  });

  passReaping(
    "notes a part that failed as a fault, and places all the same",
    async ({ queue, database, passReaping }) => {
      const { round, faults } = roundsOf(queue);
      await sayHello(queue, "forge");
      const { runId } = await queue.startRun(makePlan([{ step: "only" }]));
      await passReaping();
      await database.sql`
        alter table public.loom_leaders add constraint no_reaping
          check (duty <> 'reaper' or ticked_at < '2001-01-01') not valid`;
      try {
        await round();
      } finally {
        await database.sql`alter table public.loom_leaders drop constraint no_reaping`;
      }
      expect(faults.recent()).toMatchObject([
        { loop: "reap", subject: "round", message: expect.stringContaining("no_reaping") },
      ]);
      expect(await statesOf(queue, runId)).toEqual(["pending"]);
    },
  );

  // Interleavings: both list the job. Whoever places it first offers it; the other's offer counts as not placed.
  test("of two hubs at once offers each step once", async ({ queue, database }) => {
    await sayHello(queue, "forge", { slots: 40 });
    const steps = Array.from({ length: 40 }, (_, index) => ({ step: `s-${index}` }));
    await queue.startRun(makePlan(steps));
    const one = roundsOf(queue, "oracle/1");
    const two = roundsOf(queue, "pi/1");
    for (let count = 0; count < 6; count += 1) {
      await Promise.all([one.round(), two.round()]);
      await database.sql`update public.loom_leaders set expires_at = now() where duty = 'loops'`;
    }
    const offered = [...one.lines, ...two.lines].filter(({ msg }) => msg === "job offered");
    expect(new Set(offered.map(({ jobId }) => jobId)).size).toBe(40);
    expect(offered).toHaveLength(40);
    expect(await queue.verify()).toEqual([]);
  });
});
