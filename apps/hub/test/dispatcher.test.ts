import type { Queue } from "@loom/queue";
import { makePlan } from "@loom/queue/testing";
import { pino } from "pino";
import { describe, expect } from "vitest";
import { createDispatcher } from "../src/control/dispatch.ts";
import { createMaintenance } from "../src/control/maintenance.ts";
import { claim, collectLog, dispatchWaiting, sayHello, test } from "./fixtures.ts";

/** A dispatcher with what it logs. */
function dispatch(queue: Queue) {
  const { lines, log } = collectLog();
  return { ...dispatchWaiting(queue, log), ...createMaintenance({ queue, log }), lines };
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
  test("leaves out a job that cannot be evaluated, says so at the job, and places the others", async ({
    queue,
  }) => {
    await sayHello(queue, "forge");
    const { runId } = await queue.startRun(makePlan(steps(3, "s")));
    // A clause that was stored by somebody and that nobody can read.
    const [bad] = (await queue.getRun(runId)).jobs;
    const unreadable = {
      ...queue,
      listWaiting: async () =>
        (await queue.listWaiting()).map((job) =>
          job.id === bad?.id
            ? {
                ...job,
                get requires(): string[] {
                  throw new Error("unreadable");
                },
              }
            : job,
        ),
    };
    const { place, lines } = dispatch(unreadable);
    expect(await place()).toEqual(new Set(["forge"]));
    expect((await statesOf(queue, runId)).map(({ state }) => state)).toEqual([
      "waiting",
      "pending",
      "pending",
    ]);
    expect(lines).toContainEqual(
      expect.objectContaining({ loop: "place", subject: `job ${bad?.id}` }),
    );
    expect((await queue.getRun(runId)).jobs[0]).toMatchObject({
      waitingReason: {
        code: "not_evaluated",
        summary: "no node is sought for it, because its needs cannot be evaluated: unreadable",
      },
    });
    expect(await place()).toEqual(new Set());
    expect(lines.filter(({ msg }) => msg === "job cannot be placed")).toHaveLength(1);
  });

  test("leaves out a decision that the database refuses, and writes the others", async ({
    queue,
    database,
  }) => {
    await sayHello(queue, "forge");
    const { runId } = await queue.startRun(makePlan(steps(3, "s")));
    await database.sql`
      alter table public.loom_jobs
        add constraint refuse_one check (not (step_id = 's-1' and state = 'pending'))`;
    try {
      await dispatch(queue).place();
    } finally {
      await database.sql`alter table public.loom_jobs drop constraint refuse_one`;
    }
    expect((await statesOf(queue, runId)).map(({ state }) => state)).toEqual([
      "pending",
      "waiting",
      "pending",
    ]);
  });

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

  test("opens to full nodes what waits for a slot of theirs, and writes that once", async ({
    queue,
  }) => {
    const forge = await sayHello(queue, "forge", { slots: 1 });
    const pi = await sayHello(queue, "pi", { slots: 1, capabilities: ["has-camera"] });
    const { runId } = await queue.startRun(
      makePlan([...steps(4, "plain"), ...steps(1, "c", ["has-camera"])]),
    );
    const { place } = dispatch(queue);
    expect(await place()).toEqual(new Set(["forge", "pi"]));
    expect((await queue.listWaiting()).map(({ isOpen }) => isOpen)).toEqual([true, true, true]);
    expect(await place()).toEqual(new Set());

    const dispatcher = createDispatcher({ queue, log: collectLog().log });
    const state = { waiting: await queue.listWaiting(), nodes: await queue.listNodes() };
    expect(await dispatcher.place(state)).toMatchObject({
      wanted: 0,
      hasFreeSlots: false,
      supply: { open: 3, opened: 0 },
    });

    const [first] = await claim(queue, forge, 1, 1);
    const [second] = await claim(queue, pi, 1, 1);
    const settled = (id = 0, fence = 0) =>
      [{ id, fence, outcome: "succeeded", result: null }] as const;
    await queue.settle("forge", settled(first?.id, first?.fence));
    await queue.settle("pi", settled(second?.id, second?.fence));
    expect(await claim(queue, forge, 2, 9)).toMatchObject([{ step: "plain-2" }]);
    expect(await claim(queue, pi, 2, 9)).toMatchObject([{ step: "plain-3" }]);
    expect(await statesOf(queue, runId)).toContainEqual({
      step: "c-0",
      state: "waiting",
      host: null,
    });
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
      summary:
        "no node has its code: pi has version aaa of workflow deploy, not bbb, and accepts none",
      missing: ["workflow:deploy@bbb"],
      fix: "let pi accept code, or bring the workflow's file to it",
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
      (await database.sql`select xmin::text from public.loom_jobs`)[0]?.xmin;
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
    await database.sql`update public.loom_jobs set finished_at = now() - interval '31 days' where finished_at is not null`;
    await dispatch(queue).prune();
    const left = await database.sql`select id from public.loom_job_queue`;
    expect(left).toHaveLength(1);
  });

  test("keeps what is finished for as many days as are configured", async ({ queue, database }) => {
    const [job] = await queue.enqueue([{ workflow: "deploy", step: "s", input: null }]);
    await queue.cancel([Number(job?.id)]);
    await database.sql`update public.loom_jobs set finished_at = now() - interval '31 days'`;
    const log = pino({ level: "silent" });
    const count = async () => (await database.sql`select id from public.loom_job_queue`).length;
    await createMaintenance({ queue, log, retentionDays: 32 }).prune();
    expect(await count()).toBe(1);
    await createMaintenance({ queue, log, retentionDays: 31 }).prune();
    expect(await count()).toBe(0);
  });
});
