import { availableParallelism } from "node:os";
import { type Queue, QueueUnavailableError } from "@loom/queue";
import { describe, expect } from "vitest";
import { makeFolders, planForAgent, startAgentProcess } from "./agent-process.ts";
import { begin, deferred, inParts, jobOf, oneStep, over, test } from "./fixtures.ts";
import { isAlive } from "./process-table.ts";
import { busy, patient, stubborn } from "./workflows/patient.ts";

/** The shortest that the queue allows. */
const LEASE_MS = 3_000;

describe("a busy machine", () => {
  test("keeps its lease while steps burn all of its processors", async ({ queue, database }) => {
    const folders = makeFolders();
    const spinners = 2 * availableParallelism();
    startAgentProcess({
      url: database.url,
      key: database.serviceKey,
      journal: folders.journal,
      leaseMs: LEASE_MS,
      concurrency: spinners,
    });
    const runs: string[] = [];
    for (let count = 0; count < spinners; count += 1) {
      const plan = planForAgent(busy, { ms: 1.5 * LEASE_MS });
      runs.push((await queue.startRun(plan)).runId);
    }
    // The reaper declares a node dead that is silent for longer than its lease.
    const dead: string[] = [];
    await expect
      .poll(
        async () => {
          dead.push(...(await queue.reap()).dead);
          const states = await Promise.all(runs.map((runId) => queue.getRun(runId)));
          return states.map(({ status }) => status);
        },
        { timeout: 40_000, interval: 100 },
      )
      .toEqual(runs.map(() => "succeeded"));
    expect(dead).toEqual([]);
    const pids = new Set<unknown>();
    for (const runId of runs) {
      const { jobs } = await queue.getRun(runId);
      expect(jobs).toMatchObject([{ crashRestarts: 0, attempt: 1 }]);
      for (const job of jobs) pids.add(job.state === "succeeded" && Object(job.result).pid);
    }
    // Really all at once.
    expect(pids.size).toBe(spinners);
  }, 60_000);
});

describe("a machine that sleeps", () => {
  /** An agent with a step, both frozen until the reaper has declared the node dead. */
  async function frozen(
    { database, queue }: { database: { url: string; serviceKey: string }; queue: Queue },
    { isStubborn = false, concurrency = 1 } = {},
  ) {
    const folders = makeFolders();
    const agent = startAgentProcess({
      url: database.url,
      key: database.serviceKey,
      journal: folders.journal,
      leaseMs: LEASE_MS,
      concurrency,
    });
    const input = { folder: folders.folder };
    const plan = isStubborn ? planForAgent(stubborn, input) : planForAgent(patient, input);
    const { runId } = await queue.startRun(plan);
    const step = await folders.stepStarted();
    process.kill(agent.child.pid, "SIGSTOP");
    const isDead = async () => (await queue.reap()).dead;
    return { agent, runId, step, isDead, ...folders };
  }

  test("checks its session before it writes an outcome from its sleep", async ({
    queue,
    database,
  }) => {
    const { agent, runId, step, isDead, letGo } = await frozen({ database, queue });
    letGo();
    await expect.poll(isDead).toEqual(["forge"]);
    process.kill(agent.child.pid, "SIGCONT");
    // Nobody has claimed it since: the work counts.
    expect(await over(queue, runId)).toMatchObject({
      jobs: [{ state: "succeeded", crashRestarts: 1, result: { pid: step } }],
    });
    await agent.said("attempt settled");
    const messages = agent.lines.map(({ message }) => message);
    const asked = messages.indexOf("session was declared dead: starting a new one");
    const settled = messages.indexOf("attempt settled");
    expect(asked).toBeGreaterThan(-1);
    expect(settled).toBeGreaterThan(asked);
    expect(agent.lines[settled]).toMatchObject({ answer: "salvaged" });
  });

  test("stops a step whose job it lost during its sleep, and runs it again", async ({
    queue,
    database,
  }) => {
    const { agent, runId, step, isDead, letGo, forgetStart, stepStarted } = await frozen({
      database,
      queue,
    });
    process.kill(step, "SIGSTOP");
    await expect.poll(isDead).toEqual(["forge"]);
    forgetStart();
    process.kill(step, "SIGCONT");
    process.kill(agent.child.pid, "SIGCONT");
    const second = await stepStarted();
    expect(second).not.toBe(step);
    letGo();
    expect(await over(queue, runId)).toMatchObject({
      jobs: [{ state: "succeeded", crashRestarts: 1, result: { pid: second } }],
    });
    expect(agent.lines).toContainEqual(
      expect.objectContaining({ message: "lease was lost: the attempt settles nothing" }),
    );
  });

  test("claims a job again only when its first attempt has ended completely", async ({
    queue,
    database,
  }) => {
    const { agent, runId, step, isDead, letGo, forgetStart, stepStarted } = await frozen(
      { database, queue },
      // A slot is free all the time, and the step takes its time to end.
      { isStubborn: true, concurrency: 2 },
    );
    await expect.poll(isDead).toEqual(["forge"]);
    forgetStart();
    process.kill(agent.child.pid, "SIGCONT");
    // Its process first: when it has ended after the claim was seen, it may have ended before the claim.
    const observe = async () => {
      const wasAlive = isAlive(step);
      const [job] = await database.sql`select fence, state::text from public.loom_job_queue`;
      return { wasAlive, isClaimedAgain: Number(job?.fence) > 1 };
    };
    const seen: Awaited<ReturnType<typeof observe>>[] = [];
    await expect
      .poll(async () => seen.push(await observe()) && seen.at(-1)?.isClaimedAgain, {
        timeout: 30_000,
        interval: 5,
      })
      .toBe(true);
    await stepStarted();
    expect(seen.some(({ wasAlive }) => wasAlive)).toBe(true);
    expect(isAlive(step)).toBe(false);
    expect(seen.at(-1)).toEqual({ wasAlive: false, isClaimedAgain: true });
    letGo();
    expect(await over(queue, runId)).toMatchObject({
      jobs: [{ state: "succeeded", attempt: 1, crashRestarts: 1 }],
    });
  }, 60_000);

  test("asks at once when its clock has jumped, and writes nothing before the answer", async ({
    queue,
    startWorker,
  }) => {
    let ahead = 0;
    let isSilent = false;
    const calls: string[] = [];
    const started = deferred();
    const finish = deferred();
    const answer = deferred();
    const workflow = oneStep(async ({ log }) => {
      started.resolve();
      await finish.promise;
      log.info("last words");
    });
    const watched = inParts({
      ...queue,
      async heartbeat(session) {
        calls.push("heartbeat");
        if (isSilent) await answer.promise;
        return queue.heartbeat(session);
      },
      async appendLog(claim, chunks) {
        calls.push("appendLog");
        return queue.appendLog(claim, chunks);
      },
      async settle(node, items) {
        calls.push("settle");
        return queue.settle(node, items);
      },
    });
    startWorker({
      workflows: [workflow],
      queue: watched,
      // So long that no heartbeat is due in this test.
      leaseMs: 600_000,
      heartbeatMs: 200_000,
      wallClock: () => Date.now() + ahead,
    });
    const runId = await begin(queue, workflow);
    await started.promise;
    calls.length = 0;
    isSilent = true;
    ahead = 3_600_000;
    finish.resolve();
    await expect.poll(() => calls.length).toBeGreaterThan(0);
    expect(calls).toEqual(["heartbeat"]);
    answer.resolve();
    expect(await over(queue, runId)).toMatchObject({ jobs: [{ state: "succeeded" }] });
    expect(calls.slice(1, 3)).toEqual(["appendLog", "settle"]);
  });

  test("holds its outcomes back until it gets an answer", async ({ queue, startWorker }) => {
    let ahead = 0;
    let isAway = false;
    let asked = 0;
    let settles = 0;
    const started = deferred();
    const finish = deferred();
    const workflow = oneStep(async () => {
      started.resolve();
      await finish.promise;
    });
    const away = inParts({
      ...queue,
      async heartbeat(session) {
        asked += 1;
        if (isAway) throw new QueueUnavailableError("heartbeat", "network", "no route to host");
        return queue.heartbeat(session);
      },
      async settle(node, items) {
        settles += 1;
        return queue.settle(node, items);
      },
    });
    startWorker({ workflows: [workflow], queue: away, wallClock: () => Date.now() + ahead });
    const runId = await begin(queue, workflow);
    await started.promise;
    isAway = true;
    ahead = 3_600_000;
    finish.resolve();
    const before = asked;
    await expect.poll(() => asked).toBeGreaterThan(before + 5);
    expect(settles).toBe(0);
    expect(await jobOf(queue, runId)).toMatchObject({ state: "running" });
    isAway = false;
    expect(await over(queue, runId)).toMatchObject({ jobs: [{ state: "succeeded" }] });
  });
});
