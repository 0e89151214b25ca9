import { type ExchangeWishes, type Queue, QueueUnavailableError } from "@loom/queue";
import { defineWorkflow } from "@loom/workflow";
import { describe, expect } from "vitest";
import { makeFolders, planForAgent, startAgentProcess } from "./agent-process.ts";
import {
  begin,
  deferred,
  jobOf,
  oneStep,
  over,
  recordedIn,
  recordSettles,
  test,
  untilAborted,
} from "./fixtures.ts";
import { patient } from "./workflows/patient.ts";

/** A queue that notes each call of its worker. */
function counting(queue: Queue) {
  const calls: { name: string; wishes: ExchangeWishes }[] = [];
  const noted = Object.entries(queue).map(([name, call]) => [
    name,
    (...args: unknown[]) => {
      calls.push({ name, wishes: (args[1] ?? {}) as ExchangeWishes });
      return (call as (...args: unknown[]) => unknown)(...args);
    },
  ]);
  return { calls, queue: Object.fromEntries(noted) as Queue };
}

/** No heartbeat and no poll is due in a test. */
const SILENT = { heartbeatMs: 15_000, pollMs: 15_000, maxPollMs: 15_000 };

describe("a busy worker", () => {
  test("makes one call for each job", async ({ queue, startWorker }) => {
    const workflow = oneStep(async () => {});
    const runs: string[] = [];
    for (let run = 0; run < 20; run += 1) runs.push(await begin(queue, workflow));
    const counted = counting(queue);
    startWorker({ workflows: [workflow], queue: counted.queue, ...SILENT });
    for (const runId of runs) await over(queue, runId);
    await expect.poll(() => counted.calls.length).toBe(22);
    const names = counted.calls.map(({ name }) => name);
    // The hello, the first claim, and for each job a call that settles it and claims the next.
    expect(names).toEqual(["hello", ...Array.from({ length: 21 }, () => "exchange")]);
    expect(counted.calls.filter(({ wishes }) => wishes.renew)).toHaveLength(1);
  });

  // Regression: a step that became ready by the call was not due for its claim, and waited for the next poll.
  test("claims the next step of a run in the call that settles the one before", async ({
    queue,
    startWorker,
  }) => {
    const workflow = defineWorkflow({ name: "chain" })
      .step("one", { host: "forge" }, async () => 1)
      .step("two", { host: "forge", after: ["one"] }, async ({ results }) => results.one + 1)
      .step("three", { host: "forge", after: ["two"] }, async ({ results }) => results.two + 1);
    const runId = await begin(queue, workflow);
    const counted = counting(queue);
    startWorker({ workflows: [workflow], queue: counted.queue, ...SILENT });
    expect(await over(queue, runId)).toMatchObject({ status: "succeeded" });
    await expect.poll(() => counted.calls.length).toBe(5);
  });

  test("makes one call when it is woken, which claims and asks for orders", async ({
    queue,
    startWorker,
  }) => {
    const workflow = oneStep(async () => {});
    const counted = counting(queue);
    const { worker } = startWorker({ workflows: [workflow], queue: counted.queue, ...SILENT });
    // Wake-ups cause at most 20 heartbeats a second.
    await expect
      .poll(() => Date.now() - (worker.status().lastHeartbeatAt?.getTime() ?? Date.now()))
      .toBeGreaterThan(50);
    const runId = await begin(queue, workflow);
    counted.calls.length = 0;
    worker.wake();
    await over(queue, runId);
    const wishes = counted.calls.map(({ wishes: { claim, settle = [], renew = false } }) => {
      return { claim: claim !== undefined, settle: settle.length, renew };
    });
    expect(wishes).toEqual([
      { claim: true, settle: 0, renew: true },
      { claim: true, settle: 1, renew: false },
    ]);
  });

  test("sends the end of an attempt's output with its outcome", async ({ queue, startWorker }) => {
    const workflow = oneStep(async ({ log }) => void log.info("last words"));
    const counted = counting(queue);
    const runId = await begin(queue, workflow);
    startWorker({ workflows: [workflow], queue: counted.queue, ...SILENT });
    await over(queue, runId);
    expect(await recordedIn(queue, runId)).toContain("last words");
    expect(counted.calls.map(({ name }) => name)).not.toContain("appendLog");
  });

  // Interleavings: the call is carried out, its answer is lost, and another outcome is there when it is repeated.
  test("repeats a call whose answer was lost, with the same claim", async ({
    queue,
    startWorker,
  }) => {
    const ran: string[] = [];
    const workflow = oneStep(async ({ run }) => void ran.push(String(run.id)));
    const runs = [await begin(queue, workflow), await begin(queue, workflow)];
    const recorded = recordSettles(queue);
    const numbers: number[] = [];
    const { worker } = startWorker({
      workflows: [workflow],
      ...SILENT,
      queue: {
        ...recorded.queue,
        async exchange(session, wishes) {
          const answer = await recorded.queue.exchange(session, wishes);
          numbers.push(wishes.claim?.seq ?? 0);
          if (numbers.length === 2) throw new QueueUnavailableError("call", "timeout", "lost");
          return answer;
        },
      },
    });
    worker.wake();
    for (const runId of runs) {
      expect(await over(queue, runId)).toMatchObject({ jobs: [{ attempt: 1, crashRestarts: 0 }] });
    }
    expect(ran).toEqual(runs);
    expect(numbers.slice(0, 3)).toEqual([1, 2, 2]);
    await expect
      .poll(() => recorded.settled.map(({ answer }) => answer))
      .toEqual(["accepted", "duplicate", "accepted"]);
  });

  // Interleavings: the agent is killed while its call waits in the database, which then settles one job and claims
  // another one for nobody.
  test("loses neither job when it is killed between settle and claim", async ({
    queue,
    database,
  }) => {
    const [first, second] = [makeFolders(), makeFolders()];
    const settings = {
      url: database.url,
      key: database.serviceKey,
      journal: first.journal,
      leaseMs: 45_000,
      concurrency: 1,
    };
    const agent = startAgentProcess(settings);
    const ended = await queue.startRun(planForAgent(patient, { folder: first.folder }));
    const pid = await first.stepStarted();
    const next = await queue.startRun(planForAgent(patient, { folder: second.folder }));
    await database.sql.begin(async (sql) => {
      await sql`lock table public.loom_ready in exclusive mode`;
      first.letGo();
      await expect
        .poll(() => database.sql`select from pg_locks where not granted`, { timeout: 4_000 })
        .not.toHaveLength(0);
      agent.child.kill("SIGKILL");
      await agent.exited;
    });
    startAgentProcess(settings);
    expect(await over(queue, ended.runId)).toMatchObject({
      jobs: [{ state: "succeeded", crashRestarts: 0, result: { attempt: 1, pid } }],
    });
    await second.stepStarted();
    second.letGo();
    expect(await over(queue, next.runId)).toMatchObject({ jobs: [{ state: "succeeded" }] });
  });

  test("records an outcome whose session was revoked, and begins a new one", async ({
    queue,
    database,
    startWorker,
  }) => {
    const started = deferred();
    const finish = deferred();
    const workflow = oneStep(async () => {
      started.resolve();
      await finish.promise;
    });
    const recorded = recordSettles(queue);
    startWorker({ workflows: [workflow], queue: recorded.queue, ...SILENT });
    const first = await begin(queue, workflow);
    const second = await begin(queue, workflow);
    await started.promise;
    await database.sql`update public.loom_node_sessions set dead = true`;
    finish.resolve();
    for (const runId of [first, second]) {
      expect(await over(queue, runId)).toMatchObject({ jobs: [{ state: "succeeded" }] });
    }
    await expect
      .poll(() => recorded.settled)
      .toMatchObject([
        { fence: 1, outcome: "succeeded" },
        { fence: 1, outcome: "succeeded", answer: "accepted" },
      ]);
    expect(await queue.listNodes()).toMatchObject([{ epoch: 2 }]);
  });
});

describe("a worker that prefetches", () => {
  test("settles in batches, and runs no more at once than it may", async ({
    queue,
    startWorker,
  }) => {
    let running = 0;
    let most = 0;
    const workflow = oneStep(async () => {
      running += 1;
      most = Math.max(most, running);
      await Promise.resolve();
      running -= 1;
    });
    const runs: string[] = [];
    for (let run = 0; run < 30; run += 1) runs.push(await begin(queue, workflow));
    const counted = counting(queue);
    startWorker({ workflows: [workflow], queue: counted.queue, prefetch: 10, ...SILENT });
    for (const runId of runs) await over(queue, runId);
    expect(most).toBe(1);
    expect(counted.calls.length).toBeLessThan(15);
  });

  test.for(["stop", "drain"] as const)(
    "gives back what has not begun, without an attempt: %s",
    async (how, { queue, startWorker }) => {
      const started = deferred();
      const finish = deferred();
      const workflow = oneStep(async () => {
        started.resolve();
        await finish.promise;
      });
      const first = await begin(queue, workflow);
      const second = await begin(queue, workflow);
      const { worker, stop, done } = startWorker({
        workflows: [workflow],
        prefetch: 2,
        graceMs: 10_000,
      });
      await started.promise;
      expect(await jobOf(queue, second)).toMatchObject({ state: "running" });
      const over = how === "stop" ? done : worker.drain();
      if (how === "stop") stop();
      await expect
        .poll(() => jobOf(queue, second))
        .toMatchObject({ state: "pending", attempt: 0, crashRestarts: 0 });
      expect(await jobOf(queue, first)).toMatchObject({ state: "running" });
      finish.resolve();
      await over;
      expect(await jobOf(queue, first)).toMatchObject({ state: "succeeded" });
    },
  );

  // Interleavings: a job is cancelled while it waits for its turn, before and after the other's end.
  test("cancels a job that has not begun", async ({ queue, startWorker }) => {
    const ran: string[] = [];
    const started = deferred();
    const workflow = oneStep(async ({ run, signal }) => {
      ran.push(String(run.id));
      started.resolve();
      await untilAborted(signal);
    });
    const first = await begin(queue, workflow);
    const second = await begin(queue, workflow);
    const { worker } = startWorker({ workflows: [workflow], prefetch: 1 });
    await started.promise;
    await queue.cancelRun(second);
    worker.wake();
    expect(await over(queue, second)).toMatchObject({ status: "cancelled" });
    await queue.cancelRun(first);
    worker.wake();
    expect(await over(queue, first)).toMatchObject({ status: "cancelled" });
    expect(ran).toEqual([first]);
  });
});
