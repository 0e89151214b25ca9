import { createDispatcher } from "@loom/hub";
import type { Queue } from "@loom/queue";
import { makePlan } from "@loom/queue/testing";
import { describe, expect } from "vitest";
import { claim, collectLog, sayHello, test } from "./fixtures.ts";

/** A dispatcher with what it logs. */
function dispatch(queue: Queue) {
  const { lines, log } = collectLog();
  return { ...createDispatcher({ queue, log }), lines };
}

/** `count` steps of one need. */
const steps = (count: number, name: string, requires: string[] = []) =>
  Array.from({ length: count }, (_, index) => ({ step: `${name}-${index}`, requires }));

/** Every step of a run with its state and the node that it is offered to. */
const statesOf = async (queue: Queue, runId: string) =>
  (await queue.getRun(runId)).jobs.map((job) => ({
    step: job.step,
    state: job.state,
    host: "targetHost" in job ? job.targetHost : null,
  }));

/** Why the only step of a run waits. */
async function reasonOf(queue: Queue, runId: string) {
  const [job] = (await queue.getRun(runId)).jobs;
  return job?.state === "waiting" ? job.waitingReason : undefined;
}

describe("place", () => {
  test("offers a step only to nodes that have what it requires", async ({ queue }) => {
    await sayHello(queue, "forge", { capabilities: ["has-gpu"], slots: 4 });
    await sayHello(queue, "pi", { slots: 20 });
    const { runId } = await queue.startRun(
      makePlan([...steps(6, "gpu", ["has-gpu"]), ...steps(6, "plain")]),
    );
    const offered = await dispatch(queue).place();
    expect(offered).toEqual(new Set(["forge", "pi"]));

    const states = await statesOf(queue, runId);
    const gpu = states.filter(({ step }) => step.startsWith("gpu"));
    // Four slots: the other two wait, although the other node is idle.
    expect(gpu.filter(({ host }) => host === "forge")).toHaveLength(4);
    expect(gpu.filter(({ state }) => state === "waiting")).toHaveLength(2);
    expect(gpu.filter(({ host }) => host === "pi")).toEqual([]);
    expect(
      states.filter(({ step, state }) => step.startsWith("plain") && state === "waiting"),
    ).toEqual([]);
  });

  test("counts running steps and offers in flight as taken slots", async ({ queue }) => {
    const forge = await sayHello(queue, "forge", { slots: 2 });
    await queue.startRun(makePlan(steps(3, "s")));
    const dispatcher = dispatch(queue);
    await dispatcher.place();
    await claim(queue, forge, 1, 1);
    // One runs, one is offered.
    expect(await queue.listNodes()).toMatchObject([{ running: 1, offered: 1 }]);
    expect(await dispatcher.place()).toEqual(new Set());
    expect(await claim(queue, forge, 2)).toHaveLength(1);
    expect(await dispatcher.place()).toEqual(new Set());
  });

  test("prefers the node that the author prefers", async ({ queue }) => {
    await sayHello(queue, "anvil");
    await sayHello(queue, "forge");
    const prefers = [{ clause: "node=forge", weight: 1 }];
    await queue.startRun(makePlan([{ step: "only", prefers }]));
    expect(await dispatch(queue).place()).toEqual(new Set(["forge"]));
  });

  test("keeps why it chose the node, however many there are", async ({ queue }) => {
    for (let index = 10; index < 30; index++) await sayHello(queue, `node-${index}`);
    const prefers = [{ clause: "node=node-17", weight: 1 }];
    const { runId } = await queue.startRun(makePlan([{ step: "only", prefers }]));
    await dispatch(queue).place();
    const [job] = (await queue.getRun(runId)).jobs;
    const { placement } = job as { placement: { best: { node: string }[] } };
    expect(placement).toMatchObject({
      node: "node-17",
      scores: { prefers: 1, "least-busy": 1 },
      eligible: 20,
      decidedBy: "score",
    });
    expect(placement.best.map(({ node }) => node).slice(0, 3)).toEqual([
      "node-17",
      "node-10",
      "node-11",
    ]);
    expect(placement.best).toHaveLength(8);
  });

  test("offers a declined job elsewhere first", async ({ queue }) => {
    await sayHello(queue, "anvil");
    await sayHello(queue, "forge");
    const { runId } = await queue.startRun(makePlan([{ step: "only" }]));
    const dispatcher = dispatch(queue);
    expect(await dispatcher.place()).toEqual(new Set(["anvil"]));
    const [job] = (await queue.getRun(runId)).jobs;
    expect(await queue.decline("anvil", [job?.id ?? 0], "anvil is stopping")).toHaveLength(1);
    expect(await dispatcher.place()).toEqual(new Set(["forge"]));
  });

  test("leaves a step waiting that nobody can run, and offers it when a node comes that can", async ({
    queue,
  }) => {
    await sayHello(queue, "pi");
    const { runId } = await queue.startRun(makePlan([{ step: "only", requires: ["has-laser"] }]));
    const dispatcher = dispatch(queue);
    expect(await dispatcher.place()).toEqual(new Set());
    expect(await reasonOf(queue, runId)).toEqual({
      code: "no_capable_node",
      summary: "no known node offers has-laser (nodes: pi)",
      missing: ["has-laser"],
      fix: "add has-laser to pi",
    });

    await sayHello(queue, "workshop", { capabilities: ["has-laser"] });
    expect(await dispatcher.place()).toEqual(new Set(["workshop"]));
    expect(await statesOf(queue, runId)).toEqual([
      { step: "only", state: "pending", host: "workshop" },
    ]);
    expect(dispatcher.lines).toMatchObject([
      { msg: "job cannot be placed", code: "no_capable_node" },
      { msg: "job offered", node: "workshop" },
    ]);
  });

  test("leaves a run waiting whose code no node has, and says which they have", async ({
    queue,
  }) => {
    await sayHello(queue, "pi", { capabilities: ["workflow:deploy", "workflow:deploy@aaa"] });
    const { runId } = await queue.startRun(
      makePlan([{ step: "only", requires: ["workflow:deploy@bbb"] }]),
    );
    expect(await dispatch(queue).place()).toEqual(new Set());
    expect(await reasonOf(queue, runId)).toEqual({
      code: "no_version",
      summary: "no node has its code: pi has version aaa of workflow deploy, not bbb",
      missing: ["workflow:deploy@bbb"],
      fix: "bring workflow:deploy@bbb to pi",
    });
  });

  test("replaces a reason when another one holds, also one of the same kind", async ({ queue }) => {
    const { runId } = await queue.startRun(makePlan([{ step: "only", requires: ["has-laser"] }]));
    const dispatcher = dispatch(queue);
    const reasonNow = async () => {
      await dispatcher.place();
      return reasonOf(queue, runId);
    };
    expect(await reasonNow()).toMatchObject({ code: "no_nodes" });
    await sayHello(queue, "pi");
    expect(await reasonNow()).toMatchObject({
      code: "no_capable_node",
      summary: expect.stringContaining("(nodes: pi)"),
    });
    await sayHello(queue, "forge");
    expect(await reasonNow()).toMatchObject({
      code: "no_capable_node",
      summary: expect.stringContaining("(nodes: forge, pi)"),
    });
    await sayHello(queue, "workshop", { capabilities: ["has-laser"], slots: 0 });
    expect(await reasonNow()).toMatchObject({ code: "no_capable_node_free", missing: [] });
  });

  test("writes a reason once, not every round, though time passes", async ({ queue, database }) => {
    const { runId } = await queue.startRun(makePlan([{ step: "only", requires: ["has-gpu"] }]));
    await sayHello(queue, "forge", { capabilities: ["has-gpu"] });
    const dispatcher = dispatch(queue);
    // The transaction that wrote the row last.
    const writer = async () =>
      (await database.sql`select xmin::text from public.loom_job_queue`)[0]?.xmin;
    const placeWhenLastSeen = async (secondsAgo: number) => {
      await database.sql`update public.loom_node_sessions
        set heartbeat_at = now() - make_interval(secs => ${secondsAgo}),
            expires_at = now() - interval '1 second'`;
      await dispatcher.place();
      return { writer: await writer(), reason: await reasonOf(queue, runId) };
    };

    const first = await placeWhenLastSeen(70);
    expect(first.reason).toMatchObject({
      code: "no_capable_node_online",
      summary: "1 node could run it: forge is offline (last seen 1 min ago)",
    });
    for (const secondsAgo of [71, 75, 100, 125]) {
      expect(await placeWhenLastSeen(secondsAgo)).toEqual(first);
    }
    const later = await placeWhenLastSeen(300);
    expect(later.reason).toMatchObject({ summary: expect.stringContaining("4 min ago") });
    expect(later.writer).not.toBe(first.writer);
    expect(dispatcher.lines).toHaveLength(2);
  });

  // Interleavings: both read the jobs as waiting and decide the same; whoever locks a
  // job first offers it, and the other's offer of it counts as not placed. Or one reads
  // the nodes when the other has filled them, and refuses what is not waiting any more.
  test("of two dispatchers at once offers each step once", async ({ queue }) => {
    await sayHello(queue, "forge", { slots: 40 });
    const { runId } = await queue.startRun(makePlan(steps(40, "s")));
    const one = dispatch(queue);
    const two = dispatch(queue);
    await Promise.all([one.place(), two.place(), one.place(), two.place()]);
    const offered = [...one.lines, ...two.lines]
      .filter(({ msg }) => msg === "job offered")
      .map(({ jobId }) => jobId);
    expect(new Set(offered).size).toBe(40);
    expect(offered).toHaveLength(40);
    expect((await statesOf(queue, runId)).filter(({ host }) => host !== "forge")).toEqual([]);
  });
});

describe("reap", () => {
  test("gives back what a lost node held, to be placed on another", async ({ queue, database }) => {
    const forge = await sayHello(queue, "forge");
    const { runId } = await queue.startRun(makePlan([{ step: "only" }]));
    const dispatcher = dispatch(queue);
    await dispatcher.place();
    expect(await claim(queue, forge, 1)).toHaveLength(1);
    await dispatcher.reap();
    expect(await statesOf(queue, runId)).toMatchObject([{ state: "running" }]);

    await database.sql`update public.loom_node_sessions set expires_at = now() - interval '1 second'`;
    await dispatcher.reap();
    await sayHello(queue, "anvil");
    expect(await dispatcher.place()).toEqual(new Set(["anvil"]));
    expect(dispatcher.lines.map(({ msg }) => msg)).toEqual([
      "job offered",
      "reaped",
      "job offered",
    ]);
    expect(dispatcher.lines[1]).toMatchObject({ dead: ["forge"], requeued: 1 });
  });

  test("takes back an offer that its node does not claim", async ({ queue, database }) => {
    await sayHello(queue, "forge");
    const { runId } = await queue.startRun(makePlan([{ step: "only" }]));
    const dispatcher = dispatch(queue);
    await dispatcher.place();
    await database.sql`update public.loom_job_queue set offer_expires_at = now() - interval '1 second'`;
    await dispatcher.reap();
    expect(await reasonOf(queue, runId)).toMatchObject({ code: "offer_expired" });
    expect(dispatcher.lines.at(-1)).toMatchObject({ msg: "reaped", expiredOffers: 1 });
  });

  test("fails what was not started in time", async ({ queue, database }) => {
    const [job] = await queue.enqueue([
      { workflow: "deploy", step: "late", input: null, startWithinMs: 60_000 },
    ]);
    await database.sql`update public.loom_job_queue set start_by = now() - interval '1 second'`;
    await dispatch(queue).reap();
    expect(await queue.getJob(job?.id ?? 0)).toMatchObject({
      state: "failed",
      error: { code: "EXPIRED" },
    });
  });
});

describe("prune", () => {
  test("removes what was finished long ago, however many batches it takes", async ({
    queue,
    database,
  }) => {
    const jobs = Array.from({ length: 600 }, (_, index) => ({
      workflow: "deploy",
      step: `s${index}`,
      input: null,
    }));
    const added = await queue.enqueue(jobs);
    await queue.cancel(added.slice(0, 599).map(({ id }) => id));
    await database.sql`update public.loom_job_queue set finished_at = now() - interval '31 days' where finished_at is not null`;
    await dispatch(queue).prune();
    const left = await database.sql`select id from public.loom_job_queue`;
    expect(left).toHaveLength(1);
  });
});
