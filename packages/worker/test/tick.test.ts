import { makePlan } from "@loom/queue/testing";
import { planRun } from "@loom/scheduler";
import { defineWorkflow, NonRetryableError, RetryAfterError } from "@loom/workflow";
import { describe, expect } from "vitest";
import { begin, jobOf, oneStep, test } from "./fixtures.ts";

describe("tick", () => {
  test("runs a workflow step by step, with the results of earlier steps", async ({
    queue,
    makeWorker,
  }) => {
    const deploy = defineWorkflow({ name: "deploy" })
      .step("build", { requires: ["docker"], host: "forge" }, async ({ input, node }) => ({
        input,
        builtOn: node,
      }))
      .step("serve", { after: ["build"], host: "forge" }, async ({ results }) => ({
        from: results.build.builtOn,
      }))
      .step("report", { after: ["build", "serve"], host: "forge" }, async ({ results }) => ({
        nodes: [results.build.builtOn, results.serve.from],
      }));
    const settled: string[] = [];
    const { worker } = makeWorker({
      workflows: [deploy],
      onSettled: () => void settled.push("woken"),
    });

    const { runId } = await queue.startRun({ ...planRun(deploy), input: { ref: "main" } });
    expect([await worker.tick(), await worker.tick(), await worker.tick()]).toEqual([1, 1, 1]);
    expect(settled).toHaveLength(3);
    expect(await queue.getRun(runId)).toMatchObject({
      status: "succeeded",
      jobs: [
        { step: "build", result: { input: { ref: "main" }, builtOn: "forge" } },
        { step: "serve", result: { from: "forge" } },
        { step: "report", result: { nodes: ["forge", "forge"] } },
      ],
    });
    expect(await worker.tick()).toBe(0);
  });

  test("takes a job that a hub offered", async ({ queue, makeWorker }) => {
    const workflow = defineWorkflow({ name: "placed" }).step("only", {}, async () => "placed");
    const { worker } = makeWorker({ workflows: [workflow] });
    expect(await worker.tick()).toBe(0);
    const runId = await begin(queue, workflow);
    const [job] = await queue.listWaiting();
    await queue.place({
      offers: [{ job: job?.id ?? 0, node: "forge", placement: null }],
      refusals: [],
    });
    expect(await worker.tick()).toBe(1);
    expect(await jobOf(queue, runId)).toMatchObject({ state: "succeeded", result: "placed" });
  });

  test("reports the node's capabilities and its workflows to the queue", async ({
    queue,
    makeWorker,
  }) => {
    const workflow = oneStep(async () => {});
    const { worker } = makeWorker({
      workflows: [workflow],
      concurrency: 3,
      node: { name: "forge", capabilities: ["docker"], agentVersion: "1.2.3", wakePort: 4_555 },
    });
    await worker.tick();
    expect(await queue.listNodes()).toMatchObject([
      {
        name: "forge",
        capabilities: ["docker", "workflow:one-step", `workflow:one-step@${workflow.version}`],
        slots: 3,
        online: true,
        agentVersion: "1.2.3",
        wakePort: 4_555,
      },
    ]);
  });

  test("repeats a failed step, and keeps the results of the others", async ({
    queue,
    makeWorker,
  }) => {
    const workflow = oneStep(
      async ({ attempt }) => {
        if (attempt < 3) throw new Error(`attempt ${attempt} failed`);
        return attempt;
      },
      { retry: { attempts: 3, backoff: "1ms" } },
    );
    const { worker } = makeWorker({ workflows: [workflow] });
    const runId = await begin(queue, workflow);
    await expect.poll(() => worker.tick()).toBe(1);
    expect(await jobOf(queue, runId)).toMatchObject({
      state: "pending",
      attempt: 1,
      error: { message: "attempt 1 failed" },
    });
    await expect.poll(() => worker.tick()).toBe(1);
    await expect.poll(() => worker.tick()).toBe(1);
    expect(await jobOf(queue, runId)).toMatchObject({ state: "succeeded", result: 3, attempt: 3 });
  });

  test("fails the run after the last attempt, with its error and cause", async ({
    queue,
    makeWorker,
  }) => {
    const workflow = oneStep(async () => {
      throw new Error("no answer", { cause: new TypeError("fetch failed") });
    });
    const { worker } = makeWorker({ workflows: [workflow] });
    const runId = await begin(queue, workflow);
    await worker.tick();
    expect(await queue.getRun(runId)).toMatchObject({ status: "failed" });
    expect(await jobOf(queue, runId)).toMatchObject({
      state: "failed",
      error: {
        name: "Error",
        message: "no answer",
        cause: { name: "TypeError", message: "fetch failed" },
      },
    });
  });

  test("does not repeat a step whose error the author calls final", async ({
    queue,
    makeWorker,
  }) => {
    const workflow = oneStep(
      async () => {
        throw new NonRetryableError("no such image");
      },
      { retry: { attempts: 5, backoff: "1ms" } },
    );
    const { worker } = makeWorker({ workflows: [workflow] });
    const runId = await begin(queue, workflow);
    await worker.tick();
    expect(await jobOf(queue, runId)).toMatchObject({ state: "failed", attempt: 1 });
  });

  test.for([
    { after: "1h", dueMs: 3_600_000 },
    // Regression: ten digits of milliseconds were refused, and the job hung until its deadline; then
    // it was tried again after 11.57 days.
    { after: "30d", dueMs: 2_592_000_000 },
    { after: "365d", dueMs: 31_536_000_000 },
  ] as const)(
    "repeats a step when the author asks for it: after $after",
    async ({ after, dueMs }, { queue, makeWorker }) => {
      const workflow = oneStep(
        async () => {
          throw new RetryAfterError({ after });
        },
        { retry: { attempts: 2, backoff: "1ms" } },
      );
      const { worker } = makeWorker({ workflows: [workflow] });
      const runId = await begin(queue, workflow);
      const before = Date.now();
      await worker.tick();
      const job = await jobOf(queue, runId);
      expect(job.state).toBe("pending");
      expect(Math.abs(job.runAt.getTime() - before - dueMs)).toBeLessThan(10_000);
    },
  );

  test("fails a step that exceeds its timeout", async ({ queue, makeWorker }) => {
    const workflow = oneStep(
      ({ signal }) =>
        new Promise((_, reject) => {
          signal.addEventListener("abort", () => reject(new Error("socket closed")));
        }),
      { timeout: "10ms" },
    );
    const { worker } = makeWorker({ workflows: [workflow] });
    const runId = await begin(queue, workflow);
    await worker.tick();
    expect(await jobOf(queue, runId)).toMatchObject({
      state: "failed",
      error: { code: "STEP_TIMEOUT" },
    });
  });

  test.for([
    {
      title: "no JSON",
      result: () => ({ total: 1n }),
      message: "the result's total cannot be kept",
    },
    { title: "more than 1 MiB", result: () => "x".repeat(2_000_000), message: "2000002 bytes" },
  ])(
    "fails a step that returns $title, and says so",
    async ({ result, message }, { queue, makeWorker }) => {
      const workflow = oneStep(async () => result() as string, { retry: { attempts: 3 } });
      const { worker } = makeWorker({ workflows: [workflow] });
      const runId = await begin(queue, workflow);
      await worker.tick();
      expect(await jobOf(queue, runId)).toMatchObject({
        state: "failed",
        attempt: 1,
        error: { code: "INVALID_RESULT", message: expect.stringContaining(message) },
      });
    },
  );

  // Regression: an error over 64 KiB was reported as a result that is too large.
  test("keeps the essential parts of an error that is too large", async ({ queue, makeWorker }) => {
    const text = "漢".repeat(100_000);
    const workflow = oneStep(async () => {
      throw new Error(text, { cause: new Error(text, { cause: new Error(text) }) });
    });
    const { worker } = makeWorker({ workflows: [workflow] });
    const runId = await begin(queue, workflow);
    await worker.tick();
    expect(await jobOf(queue, runId)).toMatchObject({
      state: "failed",
      error: { name: "Error", message: expect.stringMatching(/^漢+ … \(100000 characters\)$/) },
    });
  });

  test("keeps every character of a result", async ({ queue, makeWorker }) => {
    const result = { text: "\u0000 \ud800 漢 \u2028", "": [null, 1e300, -0.5] };
    const workflow = oneStep(async () => result);
    const { worker } = makeWorker({ workflows: [workflow] });
    const runId = await begin(queue, workflow);
    await worker.tick();
    expect(await jobOf(queue, runId)).toMatchObject({ state: "succeeded", result });
  });

  test.for([
    {
      title: "whose requirements it does not meet",
      job: { step: "only", requires: ["has-gpu", "docker"] },
      reason: "forge lacks has-gpu",
    },
    {
      title: "whose step it does not have",
      job: { step: "other" },
      reason: "forge has no step other in workflow one-step",
    },
  ])(
    "declines a job $title, with the reason, and without spending an attempt",
    async ({ job, reason }, { queue, makeWorker }) => {
      const { worker } = makeWorker({ workflows: [oneStep(async () => "ran")] });
      const plan = makePlan([{ host: "forge", ...job }], { workflow: "one-step" });
      const { runId } = await queue.startRun(plan);
      expect(await worker.tick()).toBe(1);
      const declined = await jobOf(queue, runId);
      expect(declined).toMatchObject({
        state: "pending",
        attempt: 0,
        waitingReason: { code: "declined", summary: reason },
      });
      // Not due again at once: the same node would decline it the same way.
      expect(declined.runAt.getTime()).toBeGreaterThan(Date.now() + 2_000);
      expect(await worker.tick()).toBe(0);
    },
  );

  test("claims no more at a time than it has slots", async ({ queue, makeWorker }) => {
    let running = 0;
    let most = 0;
    const workflow = oneStep(async () => {
      running += 1;
      most = Math.max(most, running);
      await Promise.resolve();
      running -= 1;
    });
    const { worker } = makeWorker({ workflows: [workflow], concurrency: 2 });
    for (let runs = 0; runs < 5; runs += 1) await begin(queue, workflow);
    expect([await worker.tick(), await worker.tick(), await worker.tick()]).toEqual([2, 2, 1]);
    expect(most).toBe(2);
  });

  test("survives a callback that throws", async ({ queue, makeWorker }) => {
    const workflow = oneStep(async () => "done");
    const { worker, lines } = makeWorker({
      workflows: [workflow],
      onSettled: () => {
        throw new Error("no hub");
      },
    });
    const runId = await begin(queue, workflow);
    expect(await worker.tick()).toBe(1);
    expect(await jobOf(queue, runId)).toMatchObject({ state: "succeeded" });
    expect(lines.filter(({ level }) => level === "error")).toHaveLength(1);
    await begin(queue, workflow);
    expect(await worker.tick()).toBe(1);
  });
});

describe("createWorker", () => {
  test("refuses heartbeats that cannot keep the lease", ({ makeWorker }) => {
    const make = (heartbeatMs: number) => () =>
      makeWorker({ workflows: [], leaseMs: 10_000, heartbeatMs });
    expect(make(5_001)).toThrow(RangeError);
    expect(make(5_000)).not.toThrow();
  });
});
