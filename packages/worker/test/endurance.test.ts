import { availableParallelism } from "node:os";
import { type Queue, QueueUnavailableError } from "@loom/queue";
import { describe, expect } from "vitest";
import { makeFolders, planForAgent, startAgentProcess } from "./agent-process.ts";
import { begin, deferred, jobOf, oneStep, over, test } from "./fixtures.ts";
import { busy, patient } from "./workflows/patient.ts";

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
    // Whoever is silent for longer than its lease is declared dead.
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
  async function frozen({
    database,
    queue,
  }: {
    database: { url: string; serviceKey: string };
    queue: Queue;
  }) {
    const folders = makeFolders();
    const agent = startAgentProcess({
      url: database.url,
      key: database.serviceKey,
      journal: folders.journal,
      leaseMs: LEASE_MS,
      concurrency: 1,
    });
    const { runId } = await queue.startRun(planForAgent(patient, { folder: folders.folder }));
    const step = await folders.stepStarted();
    process.kill(agent.child.pid, "SIGSTOP");
    const isDead = async () => (await queue.reap()).dead;
    return { agent, runId, step, isDead, ...folders };
  }

  test("asks what still holds before it writes what a step came to meanwhile", async ({
    queue,
    database,
  }) => {
    const { agent, runId, step, isDead, letGo } = await frozen({ database, queue });
    letGo();
    await expect.poll(isDead, { timeout: 15_000 }).toEqual(["forge"]);
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

  test("stops a step that it lost in its sleep, and runs it again", async ({ queue, database }) => {
    const { agent, runId, step, isDead, letGo, forgetStart, stepStarted } = await frozen({
      database,
      queue,
    });
    process.kill(step, "SIGSTOP");
    await expect.poll(isDead, { timeout: 15_000 }).toEqual(["forge"]);
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
    const watched: Queue = {
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
    };
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
    await expect.poll(() => calls.length, { timeout: 5_000 }).toBeGreaterThan(0);
    // The loop asks too, within a second.
    await expect.poll(() => calls.length, { timeout: 5_000 }).toBe(2);
    expect(calls).toEqual(["heartbeat", "heartbeat"]);
    answer.resolve();
    expect(await over(queue, runId)).toMatchObject({ jobs: [{ state: "succeeded" }] });
    expect(calls.slice(2)).toEqual(["appendLog", "settle"]);
  });

  test("waits with what it has to write as long as nobody answers", async ({
    queue,
    startWorker,
  }) => {
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
    const away: Queue = {
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
    };
    startWorker({ workflows: [workflow], queue: away, wallClock: () => Date.now() + ahead });
    const runId = await begin(queue, workflow);
    await started.promise;
    isAway = true;
    ahead = 3_600_000;
    finish.resolve();
    const before = asked;
    await expect.poll(() => asked, { timeout: 10_000 }).toBeGreaterThan(before + 5);
    expect(settles).toBe(0);
    expect(await jobOf(queue, runId)).toMatchObject({ state: "running" });
    isAway = false;
    expect(await over(queue, runId)).toMatchObject({ jobs: [{ state: "succeeded" }] });
  });
});
