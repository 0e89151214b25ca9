import { describe, expect } from "vitest";
import type { Queue } from "../../queue.ts";
import { claim, only, runningJob, sayHello } from "../agent.ts";
import { makePlan } from "../plan.ts";
import type { QueueTest } from "../queue-test.ts";
import { failure, success } from "../settlements.ts";

/**
 * A finished run: a → b → c, and d alone. What is in `failing` failed, and what depended on that
 * was skipped.
 */
async function finishedRun(queue: Queue, failing: string[] = []): Promise<string> {
  const host = "forge";
  const { runId } = await queue.startRun(
    makePlan(
      [
        { step: "a", host },
        { step: "b", host, after: ["a"] },
        { step: "c", host, after: ["a", "b"] },
        { step: "d", host },
      ],
      { input: { ref: "main" } },
    ),
    { askedBy: "ada" },
  );
  const session = await sayHello(queue, host);
  for (let seq = 1; (await queue.getRun(runId)).status === "running"; seq += 1) {
    const jobs = await claim(queue, session, { seq });
    const items = jobs.map((job) => (failing.includes(job.step) ? failure : success)(job));
    await queue.settle(host, items);
  }
  return runId;
}

const statesOf = async (queue: Queue, runId: string) =>
  Object.fromEntries((await queue.getRun(runId)).jobs.map(({ step, state }) => [step, state]));

export function retryContract(test: QueueTest): void {
  describe("retryRun", () => {
    test("requires the version that it is given, in place of the old one", async ({ queue }) => {
      const requires = ["has-gpu", "workflow:made-for-test@v1"];
      const { runId: old } = await queue.startRun(makePlan([{ step: "a", requires }]));
      await queue.cancelRun(old);
      const { runId } = await queue.retryRun(old, { mode: "all", version: "v2" });
      expect(await queue.getRun(runId)).toMatchObject({
        version: "v2",
        jobs: [{ requires: ["has-gpu", "workflow:made-for-test@v2"] }],
      });
      const { runId: same } = await queue.retryRun(old, { mode: "all" });
      expect(await queue.getRun(same)).toMatchObject({ version: "v1", jobs: [{ requires }] });
      expect(await queue.listWaiting({ perKind: 1 })).toHaveLength(2);
    });

    test("with 'failed' repeats what did not succeed, with the results of the rest", async ({
      queue,
    }) => {
      const old = await finishedRun(queue, ["b"]);
      const before = await queue.getRun(old);
      const { runId, returned } = await queue.retryRun(old, { mode: "failed" });
      expect(returned).toBe("created");
      expect(await queue.getRun(runId)).toMatchObject({
        status: "running",
        retryOf: old,
        trigger: "manual",
        askedBy: "ada",
        input: { ref: "main" },
        jobs: [
          { step: "a", state: "succeeded", result: { ok: true }, ranOn: "forge" },
          { step: "b", state: "pending" },
          { step: "c", state: "blocked" },
          { step: "d", state: "succeeded" },
        ],
      });
      expect(await queue.getRun(old)).toEqual(before);

      const session = await sayHello(queue, "forge");
      const again = only(await claim(queue, session));
      expect(again).toMatchObject({ step: "b", attempt: 1, results: { a: { ok: true } } });
      await queue.settle("forge", [success(again)]);
      const last = only(await claim(queue, session, { seq: 2 }));
      expect(last).toMatchObject({ step: "c", results: { a: { ok: true }, b: { ok: true } } });
      await queue.settle("forge", [success(last)]);
      expect(await queue.getRun(runId)).toMatchObject({ status: "succeeded" });
    });

    test("with 'all' repeats every step", async ({ queue }) => {
      const { runId } = await queue.retryRun(await finishedRun(queue), { mode: "all" });
      expect(await statesOf(queue, runId)).toEqual({
        a: "pending",
        b: "blocked",
        c: "blocked",
        d: "pending",
      });
    });

    test("with 'from' repeats a step and what depends on it", async ({ queue }) => {
      const { runId } = await queue.retryRun(await finishedRun(queue), { mode: "from", step: "b" });
      expect(await statesOf(queue, runId)).toEqual({
        a: "succeeded",
        b: "pending",
        c: "blocked",
        d: "succeeded",
      });
    });

    test("with 'from' repeats what failed elsewhere too", async ({ queue }) => {
      const old = await finishedRun(queue, ["d"]);
      const { runId } = await queue.retryRun(old, { mode: "from", step: "c" });
      expect(await statesOf(queue, runId)).toEqual({
        a: "succeeded",
        b: "succeeded",
        c: "pending",
        d: "pending",
      });
    });

    test("repeats a run that was cancelled", async ({ queue }) => {
      const { runId } = await queue.startRun(makePlan([{ step: "a" }, { step: "b" }]));
      await queue.cancelRun(runId);
      const retried = await queue.retryRun(runId, { mode: "failed" });
      expect(await statesOf(queue, retried.runId)).toEqual({ a: "waiting", b: "waiting" });
    });

    // Interleavings: as of startRun: one inserts, the others wait for its commit.
    test("starts one run for eight callers with one key", async ({ queue }) => {
      const old = await finishedRun(queue, ["a"]);
      const retry = () => queue.retryRun(old, { mode: "failed", key: "once" });
      const started = await Promise.all(Array.from({ length: 8 }, retry));
      expect(new Set(started.map(({ runId }) => runId)).size).toBe(1);
      expect(started.filter(({ returned }) => returned === "created")).toHaveLength(1);
      expect(await retry()).toEqual({ runId: started[0]?.runId, returned: "existing" });
    });

    test("refuses a run that is not finished", async ({ queue }) => {
      const { runId } = await runningJob(queue);
      await expect(queue.retryRun(runId, { mode: "all" })).rejects.toMatchObject({
        code: "RUN_NOT_FINISHED",
      });
    });

    test("refuses to repeat what failed where nothing did", async ({ queue }) => {
      const runId = await finishedRun(queue);
      await expect(queue.retryRun(runId, { mode: "failed" })).rejects.toMatchObject({
        code: "NOTHING_TO_RETRY",
      });
    });

    test("refuses a step that the run does not have", async ({ queue }) => {
      const runId = await finishedRun(queue);
      await expect(queue.retryRun(runId, { mode: "from", step: "z" })).rejects.toMatchObject({
        code: "INVALID_ARGUMENT",
      });
    });

    test.for(["00000000-0000-4000-8000-000000000000", "no-such-run"])(
      "says that there is no run %s",
      async (runId, { queue }) => {
        await expect(queue.retryRun(runId, { mode: "all" })).rejects.toMatchObject({
          code: "RUN_NOT_FOUND",
        });
      },
    );
  });
}
