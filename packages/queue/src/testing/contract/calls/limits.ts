import { limits } from "@loom/workflow";
import { describe, expect } from "vitest";
import { claim, offerAll, only, runningJob, sayHello } from "../../agent.ts";
import { makeJob } from "../../new-job.ts";
import { makePlan } from "../../plan.ts";
import type { QueueFixtures, QueueTest } from "../../queue-test.ts";

const MIB = 1_048_576;

/** A run of as many steps, each with a result of so many bytes as JSON, and one that reads them all. */
async function joinOf({ queue }: QueueFixtures, sizes: readonly number[]) {
  const names = sizes.map((_, index) => `part-${index}`);
  const { runId } = await queue.startRun(
    makePlan([
      ...names.map((step) => ({ step })),
      { step: "join", after: names },
      { step: "last", after: ["join"] },
    ]),
  );
  const session = await sayHello(queue, "forge", { slots: 1_000 });
  await offerAll(queue, "forge");
  const parts = await claim(queue, session, { limit: 1_000 });
  for (const [index, { id, fence }] of parts.entries()) {
    const result = "x".repeat((sizes[index] ?? 0) - 2);
    await queue.settle("forge", [{ id, fence, outcome: "succeeded", result }]);
  }
  return { runId, session };
}

export function limitsContract(test: QueueTest): void {
  describe("limits", () => {
    test("are those of the table", async ({ database }) => {
      for (const [name, value] of Object.entries(limits)) {
        const snake = name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
        const [row] = await database.sql<{ value: string }[]>`
          select public.loom_limit(${snake}) as value`;
        expect(`${snake} ${row?.value}`).toBe(`${snake} ${value}`);
      }
      await expect(database.sql`select public.loom_limit('typing_bytes')`).rejects.toMatchObject({
        code: "42P02",
      });
    });

    // The tables keep wrong rows out by themselves: their numbers are in migrations, which do not change.
    test("are those of the tables' own checks", async ({ database }) => {
      const checks = await database.sql<{ name: string; definition: string }[]>`
        select typname as name, pg_get_constraintdef(c.oid) as definition
          from pg_constraint as c join pg_type as t on t.oid = c.contypid where typname ^@ 'loom_'`;
      const numberOf = (name: string) =>
        Number(
          /(\d+)\D*$/.exec(checks.find((check) => check.name === name)?.definition ?? "")?.[1],
        );
      expect({
        loom_name: numberOf("loom_name"),
        loom_key: numberOf("loom_key"),
        loom_input: numberOf("loom_input"),
        loom_requirements: numberOf("loom_requirements"),
        loom_priority: numberOf("loom_priority"),
        loom_concurrency_limit: numberOf("loom_concurrency_limit"),
        loom_attempts: numberOf("loom_attempts"),
        loom_restarts: numberOf("loom_restarts"),
        loom_start_within_ms: numberOf("loom_start_within_ms"),
      }).toEqual({
        loom_name: limits.nameLength,
        loom_key: limits.keyLength,
        loom_input: limits.inputBytes,
        loom_requirements: limits.requirements,
        loom_priority: limits.priority,
        loom_concurrency_limit: limits.concurrencyLimit,
        loom_attempts: limits.attempts,
        loom_restarts: limits.crashRestarts,
        loom_start_within_ms: limits.timerMs,
      });
    });

    test("fail a step whose needs' results are too large together, before a node claims it", async ({
      queue,
      database,
    }) => {
      const { runId, session } = await joinOf({ queue, database }, [MIB, MIB, MIB, MIB, 3]);
      const run = await queue.getRun(runId);
      expect(run.status).toBe("failed");
      expect(run.jobs.slice(-2)).toMatchObject([
        {
          step: "join",
          state: "failed",
          error: {
            code: "RESULTS_TOO_LARGE",
            message: expect.stringContaining(
              "of the 5 steps that it comes after hold 4194307 bytes",
            ),
          },
        },
        { step: "last", state: "skipped" },
      ]);
      // The retry takes over the results, which are as large as before.
      const again = await queue.retryRun(runId, { mode: "failed" });
      expect(await queue.getRun(again.runId)).toMatchObject({ status: "failed" });
      // The steps after it start.
      await queue.enqueue([makeJob({ priority: 1_000 })]);
      await offerAll(queue, "forge");
      expect(await claim(queue, session, { seq: 2 })).toHaveLength(1);
    });

    test("let a step read results of 4 MiB together", async ({ queue, database }) => {
      const { session } = await joinOf({ queue, database }, [MIB, MIB, MIB, MIB]);
      await offerAll(queue, "forge");
      const { results } = only(await claim(queue, session, { seq: 2 }));
      expect(Object.keys(results)).toHaveLength(4);
    });

    test("bound what one claim brings together, and the answer says that there is more", async ({
      queue,
    }) => {
      const session = await sayHello(queue, "forge", { slots: 100 });
      const input = "x".repeat(limits.inputBytes - 2);
      for (let batch = 0; batch < 5; batch += 1) {
        await queue.enqueue(Array.from({ length: 4 }, () => makeJob({ input, host: "forge" })));
      }
      const first = await queue.claim(session, { seq: 1, limit: 100 });
      const second = await queue.claim(session, { seq: 2, limit: 100 });
      if (first.session !== "live" || second.session !== "live") throw new Error("not live");
      expect([first.jobs.length, first.more]).toEqual([16, true]);
      expect([second.jobs.length, second.more]).toEqual([4, false]);
      // Most urgent first, none twice.
      const ids = [...first.jobs, ...second.jobs].map(({ id }) => id);
      expect(ids).toEqual(ids.toSorted((a, b) => a - b));
      expect(new Set(ids).size).toBe(20);
    });

    test("bound what an answer about a run holds: the largest results are left out, and a retry takes them over", async ({
      queue,
      database,
    }) => {
      const { runId } = await joinOf({ queue, database }, [MIB, 30, MIB, MIB, MIB, MIB]);
      const { jobs } = await queue.getRun(runId);
      const sizes = jobs.map((job) => ("result" in job ? JSON.stringify(job.result).length : 0));
      expect(sizes).toEqual([MIB, 30, MIB, MIB, 4, 4, 0, 0]);
      expect(jobs.map(({ omittedBytes }) => omittedBytes)).toEqual([
        ...[null, null, null, null, MIB, MIB],
        ...[null, null],
      ]);
      expect(jobs[6]).toMatchObject({ state: "failed", error: { code: "RESULTS_TOO_LARGE" } });

      const omitted = await queue.getJob(jobs[4]?.id ?? 0);
      expect(omitted).toMatchObject({ omittedBytes: null, result: expect.stringMatching(/^x+$/) });

      const again = await queue.retryRun(runId, { mode: "failed" });
      const kept = (await queue.getRun(again.runId)).jobs;
      expect(kept.map(({ omittedBytes }) => omittedBytes)).toEqual(
        jobs.map(({ omittedBytes }) => omittedBytes),
      );
    });

    test("let a step wait 30 days for its next attempt, as it asked", async ({ queue }) => {
      const retry = {
        attempts: 2,
        backoff: { kind: "fixed", delayMs: 0, maxDelayMs: 0 },
      } as const;
      const { job, read } = await runningJob(queue, { retry });
      const delayMs = 30 * 86_400_000;
      expect(
        await queue.settle("forge", [{ ...job, outcome: "failed", error: "later", delayMs }]),
      ).toMatchObject([{ answer: "accepted", state: "waiting" }]);
      const waitsMs = (await read()).runAt.getTime() - Date.now();
      expect(Math.round(waitsMs / 86_400_000)).toBe(30);
    });
  });
}
