import { randomUUID } from "node:crypto";
import { describe, expect } from "vitest";
import { claim, offerAll, only, sayHello } from "../../agent.ts";
import { makePlan } from "../../plan.ts";
import type { QueueTest } from "../../queue-test.ts";
import { expireLeases } from "../../rows.ts";
import { success } from "../../settlements.ts";
import { untilWaiting } from "../../until-waiting.ts";

export function runContract(test: QueueTest): void {
  describe("startRun", () => {
    test("stores the limits and the concurrency key of a step", async ({ queue, database }) => {
      const limit = { concurrency: { key: "printer", limit: 1 } };
      const { runId } = await queue.startRun(
        makePlan([
          { step: "a", host: "forge", maxCrashRestarts: 0, ...limit },
          { step: "b", host: "forge", ...limit },
        ]),
      );
      const first = only(await claim(queue, await sayHello(queue, "forge")));
      await expireLeases(database);
      await queue.reap();
      expect(await queue.getJob(first.id)).toMatchObject({
        state: "failed",
        error: { code: "NODE_LOST" },
      });
      expect((await queue.getRun(runId)).jobs[1]).toMatchObject({
        concurrencyKey: "printer",
        concurrencyLimit: 1,
      });
    });

    test("stores the run and all its steps", async ({ queue }) => {
      const plan = makePlan(
        [
          { step: "build", requires: ["docker"] },
          { step: "deploy", after: ["build"], host: "forge" },
        ],
        { input: { ref: "main" } },
      );

      const { runId, returned } = await queue.startRun(plan);

      expect(returned).toBe("created");
      expect(await queue.getRun(runId)).toMatchObject({
        workflow: "made-for-test",
        status: "running",
        input: { ref: "main" },
        jobs: [
          { step: "build", state: "waiting", requires: ["docker"], hostPinned: false },
          { step: "deploy", state: "blocked", after: ["build"], hostPinned: true },
        ],
      });
    });

    test("answers a repeated key with the first run", async ({ queue, database }) => {
      const plan = makePlan([{ step: "only" }]);
      const first = await queue.startRun(plan, { key: "once" });
      expect(await queue.startRun(plan, { key: "once" })).toEqual({
        runId: first.runId,
        returned: "existing",
      });
      expect(await database.sql`select count(*)::int as runs from public.loom_runs`).toEqual([
        { runs: 1 },
      ]);
    });

    // Interleavings: all eight insert at once; the unique constraint lets one through and
    // the others wait for its commit, then read its row.
    test("starts one run for eight callers with one key", async ({ queue }) => {
      const plan = makePlan([{ step: "only" }]);
      const started = await Promise.all(
        Array.from({ length: 8 }, () => queue.startRun(plan, { key: "race" })),
      );
      expect(new Set(started.map(({ runId }) => runId)).size).toBe(1);
      expect(started.filter(({ returned }) => returned === "created")).toHaveLength(1);
    });

    // Interleavings: as with a key, but it is the primary key that the others wait for.
    test("starts one run for eight callers with one id, and none for another workflow", async ({
      queue,
    }) => {
      const id = randomUUID();
      const plan = makePlan([{ step: "only" }]);
      const started = await Promise.all(
        Array.from({ length: 8 }, () => queue.startRun(plan, { id })),
      );
      expect(new Set(started.map(({ runId }) => runId))).toEqual(new Set([id]));
      expect(started.filter(({ returned }) => returned === "created")).toHaveLength(1);
      const other = { ...plan, workflow: "other" };
      await expect(queue.startRun(other, { id })).rejects.toMatchObject({
        code: "INVALID_ARGUMENT",
      });
      expect(await queue.startRun(plan, { id: randomUUID(), key: "k" })).toMatchObject({
        returned: "created",
      });
      expect((await queue.startRun(plan, { id: randomUUID(), key: "k" })).returned).toBe(
        "existing",
      );
    });

    test("writes nothing for a step that waits for a later one", async ({ queue, database }) => {
      const plan = makePlan([{ step: "a", after: ["b"] }, { step: "b" }]);
      await expect(queue.startRun(plan)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
      expect(await database.sql`select * from public.loom_runs`).toEqual([]);
    });

    test("stores a dependency once that is named twice", async ({ queue }) => {
      const { runId } = await queue.startRun(
        makePlan([
          { step: "a", host: "forge" },
          { step: "b", after: ["a", "a"] },
        ]),
      );
      const job = only(await claim(queue, await sayHello(queue, "forge")));
      await queue.settle("forge", [success(job)]);
      expect((await queue.getRun(runId)).jobs[1]).toMatchObject({ state: "waiting", after: ["a"] });
    });

    test.for([
      { title: "two steps of one name", jobs: [{ step: "a" }, { step: "a" }] },
      { title: "no steps", jobs: [] },
      { title: "an impossible priority", jobs: [{ step: "a", priority: 1_001 }] },
    ])("writes nothing for a plan with $title", async ({ jobs }, { queue, database }) => {
      await expect(queue.startRun(makePlan(jobs))).rejects.toMatchObject({
        code: "INVALID_ARGUMENT",
      });
      expect(await database.sql`select from public.loom_runs`).toHaveLength(0);
    });

    test("refuses an input above 256 KiB with its own code", async ({ queue }) => {
      const largest = "x".repeat(262_142);
      const start = (input: string) => queue.startRun(makePlan([{ step: "only" }], { input }));
      await expect(start(`${largest}x`)).rejects.toMatchObject({ code: "INPUT_TOO_LARGE" });
      expect(await start(largest)).toMatchObject({ returned: "created" });
    });

    test("keeps every character of the input", async ({ queue }) => {
      const input = { nul: "a\u0000b", half: "\ud800", big: 1e300, order: { z: 1, a: 2 } };
      const { runId } = await queue.startRun(makePlan([{ step: "only" }], { input }));
      expect((await queue.getRun(runId)).input).toEqual(input);
    });
  });

  describe("getRun", () => {
    test.for(["00000000-0000-4000-8000-000000000000", "no-such-run"])(
      "says that there is no run %s",
      async (runId, { queue }) => {
        await expect(queue.getRun(runId)).rejects.toMatchObject({ code: "RUN_NOT_FOUND", runId });
      },
    );
  });

  describe("a run", () => {
    test("hands results on, and succeeds with its last step", async ({ queue }) => {
      const { runId } = await queue.startRun(
        makePlan([{ step: "a" }, { step: "b" }, { step: "c", after: ["a", "b"] }]),
      );
      const session = await sayHello(queue, "forge");

      await offerAll(queue, "forge");
      const first = await claim(queue, session);
      expect(first.map(({ step }) => step)).toEqual(["a", "b"]);
      await queue.settle(
        "forge",
        first.map(({ id, fence, step }) => ({
          id,
          fence,
          outcome: "succeeded",
          result: { from: step },
        })),
      );

      await offerAll(queue, "forge");
      const last = only(await claim(queue, session, { seq: 2 }));
      expect(last).toMatchObject({ step: "c", results: { a: { from: "a" }, b: { from: "b" } } });
      await queue.settle("forge", [
        { id: last.id, fence: last.fence, outcome: "succeeded", result: null },
      ]);

      expect(await queue.getRun(runId)).toMatchObject({ status: "succeeded" });
    });

    test("fails with a failed step, and skips what depended on it, however far", async ({
      queue,
    }) => {
      const { runId } = await queue.startRun(
        makePlan([
          { step: "a" },
          { step: "b", after: ["a"] },
          { step: "c", after: ["b"] },
          { step: "aside", after: [] },
        ]),
      );
      const session = await sayHello(queue, "forge");
      await offerAll(queue, "forge");
      const jobs = await claim(queue, session);
      await queue.settle(
        "forge",
        jobs.map(({ id, fence, step }) =>
          step === "a"
            ? { id, fence, outcome: "failed", error: { message: "boom" } }
            : { id, fence, outcome: "succeeded", result: 1 },
        ),
      );
      expect(await queue.getRun(runId)).toMatchObject({
        status: "failed",
        jobs: [
          { step: "a", state: "failed", error: { message: "boom" } },
          { step: "b", state: "skipped" },
          { step: "c", state: "skipped" },
          { step: "aside", state: "succeeded" },
        ],
      });
    });

    // Interleaving: one of the last two steps is settled, and not committed yet, when the other
    // one is. Each could take the other for unfinished and leave the run open for ever: the run's
    // lock makes the second one wait.
    test("finishes when its last two steps are settled at the same moment", async ({
      queue,
      database,
    }) => {
      const { runId } = await queue.startRun(
        makePlan([
          { step: "a", host: "forge" },
          { step: "b", host: "forge" },
        ]),
      );
      const [a, b] = await claim(queue, await sayHello(queue, "forge"));
      const items = JSON.stringify([{ id: a?.id, fence: 1, outcome: "succeeded" }]);
      let settling: Promise<unknown> | undefined;
      await database.sql.begin(async (sql) => {
        await sql`select public.loom_exchange('forge', p_items => ${items}::text::json)`;
        settling = queue.settle("forge", [success({ id: b?.id ?? 0, fence: 1 })]);
        await Promise.race([untilWaiting(database), settling]);
      });
      expect(await settling).toMatchObject([{ answer: "accepted" }]);
      expect(await queue.getRun(runId)).toMatchObject({ status: "succeeded" });
    });

    // Interleavings: the settles come one after the other, and each subtracts its own from what
    // the step waits for.
    test("makes a step ready when all it needs is settled at the same moment", async ({
      queue,
    }) => {
      const steps = Array.from({ length: 12 }, (_, index) => ({ step: `s${index}` }));
      const { runId } = await queue.startRun(
        makePlan([...steps, { step: "end", after: steps.map(({ step }) => step) }]),
      );
      const session = await sayHello(queue, "forge", { slots: 20 });
      await offerAll(queue, "forge");
      const jobs = await claim(queue, session, { limit: 20 });
      await Promise.all(
        jobs.map(({ id, fence }) =>
          queue.settle("forge", [{ id, fence, outcome: "succeeded", result: null }]),
        ),
      );
      expect(await queue.listWaiting()).toMatchObject([{ step: "end" }]);

      await offerAll(queue, "forge");
      const end = only(await claim(queue, session, { seq: 2 }));
      await queue.settle("forge", [{ ...end, outcome: "succeeded", result: null }]);
      expect(await queue.getRun(runId)).toMatchObject({ status: "succeeded" });
    });
  });
}
