import { describe, expect } from "vitest";
import { claim, offerAll, only, sayHello } from "../../agent.ts";
import { makeJob } from "../../new-job.ts";
import type { QueueTest } from "../../queue-test.ts";
import { makeDue } from "../../rows.ts";
import { success } from "../../settlements.ts";

export function enqueueContract(test: QueueTest): void {
  describe("enqueue", () => {
    test("adds a batch and answers in its order", async ({ queue }) => {
      const steps = ["c", "a", "b"];
      const added = await queue.enqueue(steps.map((step) => makeJob({ step, input: { step } })));
      expect(added.map(({ returned }) => returned)).toEqual(["created", "created", "created"]);
      for (const [index, { id }] of added.entries()) {
        expect(await queue.getJob(id)).toMatchObject({
          state: "waiting",
          runId: null,
          step: steps[index],
          payload: { step: steps[index] },
        });
      }
      expect(await queue.enqueue([])).toEqual([]);
    });

    test("hands a job its own input, and records its result", async ({ queue }) => {
      const input = { nul: "a\u0000b", half: "\ud800", big: 1e300, order: { z: 1, a: 2 } };
      await queue.enqueue([makeJob({ input, host: "forge", timeoutMs: 5_000 })]);
      const job = only(await claim(queue, await sayHello(queue, "forge")));
      expect(job).toMatchObject({ input, results: {}, version: "", timeoutMs: 5_000 });
      expect(await queue.settle("forge", [success(job)])).toMatchObject([{ answer: "accepted" }]);
      expect(await queue.getJob(job.id)).toMatchObject({
        state: "succeeded",
        result: { ok: true },
      });
    });

    test("answers a known key with its job, whatever its state", async ({ queue }) => {
      const [first] = await queue.enqueue([makeJob({ key: "once", host: "forge" })]);
      const existing = { id: first?.id, returned: "existing" };
      expect(await queue.enqueue([makeJob({ key: "once", input: 2 })])).toEqual([existing]);
      const job = only(await claim(queue, await sayHello(queue, "forge")));
      await queue.settle("forge", [success(job)]);
      expect(await queue.enqueue([makeJob({ key: "once" })])).toEqual([existing]);
    });

    test("separates keys by workflow, and adds a key that is twice in a batch once", async ({
      queue,
    }) => {
      const added = await queue.enqueue([
        makeJob({ key: "same" }),
        makeJob({ key: "same", workflow: "other" }),
        makeJob({ key: "same" }),
      ]);
      expect(added.map(({ returned }) => returned)).toEqual(["created", "created", "existing"]);
      expect(added[2]?.id).toBe(added[0]?.id);
    });

    // Interleavings: all eight insert at once. One gets the unique index' entry, the others
    // wait for its commit and read its row with a snapshot of their own.
    test("adds one job for eight callers with one key", async ({ queue }) => {
      const answers = await Promise.all(
        Array.from({ length: 8 }, () => queue.enqueue([makeJob({ key: "race" })])),
      );
      const jobs = answers.map(only);
      expect(new Set(jobs.map(({ id }) => id)).size).toBe(1);
      expect(jobs.filter(({ returned }) => returned === "created")).toHaveLength(1);
    });

    // Interleavings: each batch holds the entries that it inserted until it commits. In the
    // order of the callers, each of two could hold what the other one waits for.
    test("takes batches that share keys in any order without a deadlock", async ({ queue }) => {
      for (let round = 0; round < 5; round += 1) {
        const batch = Array.from({ length: 100 }, (_, index) =>
          makeJob({ key: `${round}-${index}` }),
        );
        const batches = [batch, batch.toReversed(), batch.slice(50), batch.toReversed().slice(50)];
        const answers = (await Promise.all(batches.map((jobs) => queue.enqueue(jobs)))).flat();
        expect(answers.filter(({ returned }) => returned === "created")).toHaveLength(100);
        expect(new Set(answers.map(({ id }) => id)).size).toBe(100);
      }
    });

    // The job with the key was there when the insert looked, and is gone when its id is read.
    test("does not call a job added that was pruned at that moment", async ({
      queue,
      database,
    }) => {
      await queue.enqueue([makeJob({ key: "old" })]);
      await database.sql`create function public.prune_now() returns trigger language plpgsql as
        'begin delete from public.loom_jobs; return null; end'`;
      await database.sql`create trigger prune_now after insert on public.loom_jobs
        for each statement execute function public.prune_now()`;
      const again = queue.enqueue([makeJob({ key: "old" })]);
      await expect(again).rejects.toMatchObject({ code: "QUEUE_UNAVAILABLE" });
      await database.sql`drop function public.prune_now cascade`;
    });

    test("does not offer a job before its delay is over", async ({ queue, database }) => {
      await queue.enqueue([makeJob({ delayMs: 60_000 })]);
      await queue.enqueue([makeJob({ delayMs: 60_000, host: "forge" })]);
      const session = await sayHello(queue, "forge");
      expect(await queue.listWaiting()).toEqual([]);
      expect(await claim(queue, session)).toEqual([]);
      await makeDue(database);
      expect(await queue.listWaiting()).toHaveLength(1);
      expect(await claim(queue, session)).toHaveLength(1);
    });

    test("offers a pinned job to its node at once, and to no other", async ({ queue }) => {
      const { id } = only(await queue.enqueue([makeJob({ host: "forge" })]));
      expect(await queue.getJob(id)).toMatchObject({ state: "pending", targetHost: "forge" });
      expect(await offerAll(queue, "oracle")).toEqual([]);
      expect(await claim(queue, await sayHello(queue, "oracle"))).toEqual([]);
      expect(only(await claim(queue, await sayHello(queue, "forge")))).toMatchObject({ id });
    });

    test.for([
      { title: "an impossible priority", wrong: { priority: 1_001 } },
      { title: "a fraction of a millisecond", wrong: { delayMs: 0.5 } },
      { title: "a number beyond its column", wrong: { startWithinMs: 3e9 } },
      { title: "a key that Postgres cannot store", wrong: { key: "a\u0000b" } },
      { title: "a name that is too long", wrong: { step: "x".repeat(101) } },
      { title: "a limit of none", wrong: { concurrency: { key: "k", limit: 0 } } },
    ])("writes nothing of a batch with $title", async ({ wrong }, { queue, database }) => {
      const batch = [makeJob(), makeJob(wrong), makeJob()];
      await expect(queue.enqueue(batch)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
      expect(await database.sql`select from public.loom_job_queue`).toHaveLength(0);
    });

    test("refuses an input above 256 KiB with its own code", async ({ queue, database }) => {
      const largest = "x".repeat(262_142);
      const batch = [makeJob(), makeJob({ input: `${largest}x` })];
      await expect(queue.enqueue(batch)).rejects.toMatchObject({ code: "INPUT_TOO_LARGE" });
      expect(await database.sql`select from public.loom_job_queue`).toHaveLength(0);
      expect(await queue.enqueue([makeJob({ input: largest })])).toHaveLength(1);
    });

    test("takes 1000 jobs at once, and no more", async ({ queue }) => {
      const most = Array.from({ length: 1_000 }, () => makeJob());
      expect(await queue.enqueue(most)).toHaveLength(1_000);
      await expect(queue.enqueue([...most, makeJob()])).rejects.toMatchObject({
        code: "INVALID_ARGUMENT",
      });
    });
  });

  describe("getJob", () => {
    test("says that there is no such job", async ({ queue }) => {
      const notFound = { code: "JOB_NOT_FOUND", jobId: 404 };
      await expect(queue.getJob(404)).rejects.toMatchObject(notFound);
    });
  });
}
