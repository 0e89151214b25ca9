import { randomUUID } from "node:crypto";
import { describe, expect } from "vitest";
import type { Queue } from "../../../queue.ts";
import type { RetrySelection } from "../../../runs.ts";
import { claim, only, runningJob, sayHello } from "../../agent.ts";
import { makePlan } from "../../plan.ts";
import type { QueueTest } from "../../queue-test.ts";
import { failure, success } from "../../settlements.ts";
import { expandAll, mapOf, result, startMap } from "./map-run.ts";

/**
 * Makes a finished run: a → b → c, and d alone. The steps in `failing` failed, and their dependents were
 * skipped.
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
    test("repeats only the items of a map that failed", async ({ queue }) => {
      const { runId, session } = await startMap(queue, ["a", "b", "c"]);
      await expandAll(queue);
      const [a, b, c] = await claim(queue, session, { seq: 2 });
      if (!a || !b || !c) throw new Error("three items were to be claimed");
      await queue.settle("forge", [result(a, "A"), failure(b), result(c, "C")]);

      const retried = await queue.retryRun(runId, { mode: "failed" });
      expect(await mapOf(queue, retried.runId)).toMatchObject({ state: "mapping" });
      await expandAll(queue);
      const again = only(await claim(queue, session, { seq: 3 }));
      expect(again).toMatchObject({ item: { value: "b", index: 1 } });
      await queue.settle("forge", [result(again, "B")]);
      expect(await mapOf(queue, retried.runId)).toMatchObject({
        state: "succeeded",
        result: ["A", "B", "C"],
        items: { total: 3, succeeded: 3 },
      });

      // A step that is not repeated keeps its result and its counts; one that is named is repeated as a whole.
      const end = only(await claim(queue, session, { seq: 4 }));
      await queue.settle("forge", [failure(end)]);
      const third = await queue.retryRun(retried.runId, { mode: "failed" });
      expect(await mapOf(queue, third.runId)).toMatchObject({
        state: "succeeded",
        result: ["A", "B", "C"],
        items: { total: 3, succeeded: 3 },
      });
      await queue.cancelRun(third.runId);
      const whole = await queue.retryRun(third.runId, { mode: "from", step: "each" });
      await expandAll(queue);
      expect((await claim(queue, session, { seq: 5 })).map(({ item }) => item?.value)).toEqual([
        "a",
        "b",
        "c",
      ]);
      expect(await queue.getRun(whole.runId)).toMatchObject({ status: "running" });
    });

    // To Postgres a table that was analysed while it was empty stays empty: each step was looked
    // for among all, which took from 15 s to minutes, and the hub gives up at 10.
    test("cancels and repeats a run of 10,000 steps in time, whatever the statistics say", {
      timeout: 60_000,
    }, async ({ queue, database }) => {
      await queue.startRun(makePlan([{ step: "a" }]));
      await database.sql
        .unsafe(
          "delete from loom_jobs; delete from loom_ready; delete from loom_runs; analyze loom_jobs, loom_ready, loom_job_specs",
        )
        .simple();
      const steps = Array.from({ length: 10_000 }, (_, at) => ({
        step: `s${at}`,
        after: at === 0 ? [] : [`s${at - 1}`],
      }));
      const { runId } = await queue.startRun(makePlan(steps));
      const inTime = async (call: () => Promise<unknown>) => {
        const since = performance.now();
        await call();
        expect(performance.now() - since).toBeLessThan(10_000);
      };
      await inTime(() => queue.cancelRun(runId));
      await inTime(() => queue.previewRetry(runId, { mode: "all" }));
      await inTime(() => queue.retryRun(runId, { mode: "all" }));
      await database.sql`analyze loom_jobs, loom_ready, loom_job_specs`;
    });

    test.for<RetrySelection>([{ mode: "all" }, { mode: "failed" }, { mode: "from", step: "b" }])(
      "stores the steps of its preview: %o",
      async (what, { queue }) => {
        const old = await finishedRun(queue, ["c"]);
        const preview = await queue.previewRetry(old, { ...what, version: "v2" });
        const { runId } = await queue.retryRun(old, { ...what, version: "v2" });
        const stored = (await queue.getRun(runId)).jobs.filter(
          ({ state }) => state !== "succeeded",
        );
        expect(preview.map(({ step, requires, host }) => ({ step, requires, host }))).toEqual(
          stored.map(({ step, requires, pinnedTo }) => ({ step, requires, host: pinnedTo })),
        );
        expect(preview.filter(({ after }) => after.length > 0).map(({ step }) => step)).toEqual(
          stored.filter(({ state }) => state === "blocked").map(({ step }) => step),
        );
      },
    );

    test("has no preview for an unknown run", async ({ queue }) => {
      for (const id of ["nope", crypto.randomUUID()]) {
        await expect(queue.previewRetry(id, { mode: "all" })).rejects.toMatchObject({
          code: "RUN_NOT_FOUND",
        });
      }
    });

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

    test("with 'failed' repeats the steps that did not succeed, with the results of the others", async ({
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

    test("with 'from' also repeats steps that failed elsewhere", async ({ queue }) => {
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

    test("gives the new run an id and an input that were made for it", async ({ queue }) => {
      const old = await finishedRun(queue, ["a"]);
      const signed = { id: randomUUID(), input: { ref: "main", signature: "x" } };
      const retry = () => queue.retryRun(old, { mode: "failed", signed });
      expect(await retry()).toEqual({ runId: signed.id, returned: "created" });
      expect(await queue.getRun(signed.id)).toMatchObject({
        ...{ input: signed.input, rawInput: { ref: "main" }, retryOf: old },
      });
      expect(await retry()).toEqual({ runId: signed.id, returned: "existing" });
      expect(await queue.getRun(old)).toMatchObject({ input: { ref: "main" } });
    });

    test("refuses a run that is not finished", async ({ queue }) => {
      const { runId } = await runningJob(queue);
      await expect(queue.retryRun(runId, { mode: "all" })).rejects.toMatchObject({
        code: "RUN_NOT_FINISHED",
      });
    });

    test("refuses to repeat failed steps when none failed", async ({ queue }) => {
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
