import { describe, expect } from "vitest";
import { claim, offerAll, only, runningJob, sayHello } from "../../agent.ts";
import { makeJob } from "../../new-job.ts";
import { makePlan } from "../../plan.ts";
import type { QueueTest } from "../../queue-test.ts";
import { failure, success } from "../../settlements.ts";

const twice = { attempts: 2, backoff: { kind: "fixed", delayMs: 0, maxDelayMs: 0 } } as const;

export function settleBatchContract(test: QueueTest): void {
  describe("settle of a batch", () => {
    test("records a reason whatever characters it has, and the rest of the batch", async ({
      queue,
    }) => {
      const { job, session, read } = await runningJob(queue);
      await queue.enqueue([makeJob({ host: "forge" })]);
      const other = only(await claim(queue, session, { seq: 2 }));
      const reason = "a\0b\ud83d";
      expect(
        await queue.settle("forge", [{ ...job, outcome: "declined", reason }, success(other)]),
      ).toMatchObject([{ answer: "accepted" }, { answer: "accepted" }]);
      expect(await read()).toMatchObject({ waitingReason: { summary: "a\x1ab\ufffd" } });
    });

    test("answers two claims of one job in one batch each by its own fence", async ({ queue }) => {
      const { job, session, read } = await runningJob(queue, { retry: twice });
      await queue.settle("forge", [failure(job)]);
      await offerAll(queue, "forge");
      const second = only(await claim(queue, session, { seq: 2 }));
      expect(await queue.settle("forge", [failure(job), success(second)])).toEqual([
        { id: job.id, fence: 1, answer: "stale", state: null },
        { id: job.id, fence: 2, answer: "accepted", state: "succeeded" },
      ]);
      expect(await read()).toMatchObject({ state: "succeeded" });
    });

    test("takes the first of two outcomes of one claim in one batch", async ({ queue }) => {
      const { job, read } = await runningJob(queue);
      expect(await queue.settle("forge", [success(job), failure(job)])).toMatchObject([
        { answer: "accepted", state: "succeeded" },
        { answer: "duplicate", state: null },
      ]);
      expect(await read()).toMatchObject({ state: "succeeded" });
    });

    test("refuses more than 500 items at once, and answers 500", async ({ queue }) => {
      const { job } = await runningJob(queue);
      const items = Array.from({ length: 500 }, (_, index) => success({ id: index + 2, fence: 1 }));
      await expect(queue.settle("forge", [...items, success(job)])).rejects.toMatchObject({
        code: "INVALID_ARGUMENT",
      });
      const answers = await queue.settle("forge", [success(job), ...items.slice(1)]);
      expect(answers.map(({ answer }) => answer)).toEqual([
        "accepted",
        ...Array.from({ length: 499 }, () => "unknown"),
      ]);
    });

    test("leaves a job with its owner when the error is too large", async ({ queue }) => {
      const { job, read } = await runningJob(queue);
      const largest = "x".repeat(65_534);
      const settle = (error: string) =>
        queue.settle("forge", [{ ...job, outcome: "failed", error }]);
      expect(await settle(`${largest}x`)).toMatchObject([{ answer: "too_large" }]);
      expect(await settle(largest)).toMatchObject([{ answer: "accepted" }]);
      expect(await read()).toMatchObject({ state: "failed", error: largest });
    });

    // Interleavings: two batches lock the runs by id and then the jobs by id, whatever the
    // order of their items; otherwise each could wait for the other's.
    test("takes overlapping batches in any order without a deadlock", async ({ queue }) => {
      const session = await sayHello(queue, "forge", { slots: 100 });
      for (let seq = 1; seq <= 5; seq += 1) {
        for (let run = 0; run < 4; run += 1) {
          await queue.startRun(makePlan([{ step: "a" }, { step: "b" }, { step: "c" }]));
        }
        await offerAll(queue, "forge");
        const items = (await claim(queue, session, { seq, limit: 12 })).map(success);
        const batches = [items, items.toReversed(), items.slice(6), items.slice(0, 6).toReversed()];
        const answers = await Promise.all(batches.map((batch) => queue.settle("forge", batch)));
        const accepted = answers.flat().filter(({ answer }) => answer === "accepted");
        expect(accepted).toHaveLength(12);
        expect(new Set(accepted.map(({ id }) => id)).size).toBe(12);
      }
    });

    test("leaves a job with its owner when the result is too large", async ({ queue }) => {
      const { job, read } = await runningJob(queue);
      const largest = "x".repeat(1_048_574);
      const settle = (result: string) =>
        queue.settle("forge", [{ ...job, outcome: "succeeded", result }]);
      expect(await settle(`${largest}x`)).toMatchObject([{ answer: "too_large" }]);
      expect(await read()).toMatchObject({ state: "running" });
      expect(await settle(largest)).toMatchObject([{ answer: "accepted" }]);
    });

    test("keeps every character of a result", async ({ queue }) => {
      const { job, read } = await runningJob(queue);
      const result = { nul: "a\u0000b", half: "\ud800", deep: [[[["\\u0000"]]]], n: 1.5e-300 };
      expect(await queue.settle("forge", [{ ...job, outcome: "succeeded", result }])).toMatchObject(
        [{ answer: "accepted" }],
      );
      expect(await read()).toMatchObject({ result });
    });

    test.for([
      { title: "no object", item: "7" },
      { title: "a missing fence", item: `{"id": 1, "outcome": "succeeded"}` },
      { title: "an unknown outcome", item: `{"id": 1, "fence": 1, "outcome": "perhaps"}` },
      {
        title: "a fence that is too long",
        item: `{"id": 1, "fence": 99999999999999, "outcome": "released"}`,
      },
      {
        title: "a result that is no string",
        item: `{"id": 1, "fence": 1, "outcome": "succeeded", "result": {}}`,
      },
      { title: "a NUL", item: `{"id": 1, "fence": 1, "outcome": "failed", "error": "a\\u0000b"}` },
      {
        title: "half a surrogate pair",
        item: `{"id": 1, "fence": 1, "outcome": "failed", "error": "\\ud83d"}`,
      },
    ])("does not let $title harm the rest of a batch", async ({ item }, { queue, database }) => {
      const { job, read } = await runningJob(queue);
      const good = JSON.stringify({
        id: job.id,
        fence: job.fence,
        outcome: "succeeded",
        result: "1",
      });
      const [row] = await database.sql.unsafe<{ answer: { answer: string }[] }[]>(
        "select public.loom_exchange('forge', p_items => $1::text::json) -> 'settled' -> 'items' as answer",
        [`[${item}, ${good}]`],
      );
      expect(row?.answer.map(({ answer }) => answer)).toEqual(["invalid", "accepted"]);
      expect(await read()).toMatchObject({ state: "succeeded" });
    });
  });
}
