import type { Database } from "@loom/local-db";
import { describe, expect } from "vitest";
import { claim, runningJob, sayHello } from "../agent.ts";
import { makeJob } from "../new-job.ts";
import type { QueueTest } from "../queue-test.ts";
import { failure, success } from "../settlements.ts";

/** All that is there now happened 31 days ago. */
async function age({ sql }: Database): Promise<void> {
  const before = "31 days";
  await sql`update public.loom_runs set finished_at = finished_at - ${before}::interval`;
  await sql`update public.loom_job_queue set finished_at = finished_at - ${before}::interval`;
  await sql`update public.loom_events set at = at - ${before}::interval`;
}

const countOf = async ({ sql }: Database) => {
  const [row] = await sql`
    select (select count(*)::integer from public.loom_runs) as runs,
           (select count(*)::integer from public.loom_job_queue) as jobs,
           (select count(*)::integer from public.loom_job_logs) as logs,
           (select count(*)::integer from public.loom_events) as events`;
  return row;
};

export function retentionContract(test: QueueTest): void {
  describe("prune", () => {
    test("removes what finished long ago, with its logs, and nothing else", async ({
      queue,
      database,
    }) => {
      const { job } = await runningJob(queue);
      await queue.appendLog({ node: "forge", id: job.id, fence: 1 }, [{ start: 0, chunk: "x" }]);
      await queue.settle("forge", [success(job)]);
      await queue.enqueue([makeJob({ host: "forge" })]);
      const [own] = await claim(queue, { node: "forge", epoch: 1 }, { seq: 2 });
      await queue.appendLog({ node: "forge", id: own?.id ?? 0, fence: 1 }, [
        { start: 0, chunk: "x" },
      ]);
      await queue.settle("forge", [success({ id: own?.id ?? 0, fence: 1 })]);
      const unfinished = await runningJob(queue);
      await queue.enqueue([makeJob()]);
      await age(database);
      const young = await queue.enqueue([makeJob()]);
      await queue.cancel(young.map(({ id }) => id));

      expect(await queue.prune()).toMatchObject({ runs: 1, jobs: 1, more: false });
      expect(await countOf(database)).toEqual({ runs: 1, jobs: 3, logs: 0, events: 2 });
      expect(await unfinished.read()).toMatchObject({ state: "running" });
      expect(await queue.prune()).toEqual({ runs: 0, jobs: 0, slots: 0, events: 0, more: false });
    });

    test("goes in bounded batches, and says whether there is more", async ({ queue, database }) => {
      const added = await queue.enqueue(Array.from({ length: 5 }, () => makeJob()));
      await queue.cancel(added.map(({ id }) => id));
      await age(database);
      expect(await queue.prune({ limit: 4 })).toEqual({
        runs: 0,
        jobs: 4,
        slots: 0,
        events: 4,
        more: true,
      });
      expect(await queue.prune({ limit: 4 })).toEqual({
        runs: 0,
        jobs: 1,
        slots: 0,
        events: 4,
        more: true,
      });
      expect(await queue.prune({ limit: 4 })).toEqual({
        runs: 0,
        jobs: 0,
        slots: 0,
        events: 2,
        more: false,
      });
    });

    test("keeps what was finished within the days to keep", async ({ queue, database }) => {
      const { job, runId } = await runningJob(queue);
      await queue.settle("forge", [success(job)]);
      await age(database);
      expect(await queue.prune({ keepDays: 32 })).toMatchObject({ runs: 0, events: 0 });
      expect(await queue.prune({ keepDays: 31 })).toMatchObject({ runs: 1 });
      await expect(queue.getRun(runId)).rejects.toMatchObject({ code: "RUN_NOT_FOUND" });
    });

    test("leaves a retried run without the one that it repeats", async ({ queue, database }) => {
      const { job, runId: old } = await runningJob(queue);
      await queue.settle("forge", [failure(job)]);
      await age(database);
      const { runId } = await queue.retryRun(old, { mode: "all" });
      expect(await queue.prune()).toMatchObject({ runs: 1 });
      expect(await queue.getRun(runId)).toMatchObject({ status: "running", retryOf: null });
    });

    // Interleavings: each takes rows that no other one has locked, so no row is counted twice.
    test("of several hubs removes each row once", async ({ queue, database }) => {
      await sayHello(queue, "forge");
      const added = await queue.enqueue(Array.from({ length: 40 }, () => makeJob()));
      await queue.cancel(added.map(({ id }) => id));
      await age(database);
      const pruned = await Promise.all(Array.from({ length: 4 }, () => queue.prune({ limit: 25 })));
      while ((await queue.prune({ limit: 25 })).more);
      expect(pruned.reduce((sum, { jobs }) => sum + jobs, 0)).toBeLessThanOrEqual(40);
      expect(await countOf(database)).toEqual({ runs: 0, jobs: 0, logs: 0, events: 0 });
    });

    test.for([{ keepDays: -1 }, { limit: -1 }, { limit: 0 }, { limit: 10_001 }])(
      "refuses %o",
      async (options, { queue }) => {
        await expect(queue.prune(options)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
      },
    );
  });
}
