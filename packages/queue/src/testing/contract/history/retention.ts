import type { Database } from "@loom/local-db";
import { describe, expect } from "vitest";
import type { Queue } from "../../../queue.ts";
import { claim, runningJob, sayHello } from "../../agent.ts";
import { makeJob } from "../../new-job.ts";
import { makePlan } from "../../plan.ts";
import type { QueueTest } from "../../queue-test.ts";
import { failure, success } from "../../settlements.ts";

/** Moves everything in the tables 31 days back. */
async function age({ sql }: Database): Promise<void> {
  const before = "31 days";
  await sql`update public.loom_runs set finished_at = finished_at - ${before}::interval`;
  await sql`update public.loom_jobs set finished_at = finished_at - ${before}::interval`;
  await sql`update public.loom_event_batches set at = at - ${before}::interval`;
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
        // What one call did to several jobs is one row.
        events: 10,
        more: true,
      });
      expect(await queue.prune({ limit: 4 })).toEqual({
        runs: 0,
        jobs: 1,
        slots: 0,
        events: 0,
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

    /** A run of a workflow that ended some days ago. */
    async function ended(
      { queue, database }: { queue: Queue; database: Database },
      workflow: string,
      status: "succeeded" | "failed" | "cancelled",
      days: number,
    ): Promise<void> {
      const { runId } = await queue.startRun(makePlan([{ step: "only" }], { workflow }));
      await queue.cancelRun(runId);
      await database.sql`
        update public.loom_jobs set state = ${status}, result = case when ${status} = 'succeeded' then 'null' end where run_id = ${runId}`;
      await database.sql`
        update public.loom_runs set status = ${status}, finished_at = now() - make_interval(days => ${days}) where id = ${runId}`;
    }
    const left = async ({ sql }: Database) =>
      (
        await sql`select workflow_id || ' ' || status || ' ' || date_part('day', now() - finished_at) as run
                    from public.loom_runs`
      )
        .map(({ run }) => run)
        .toSorted();
    const DAY = 86_400_000;

    test("keeps runs as their workflow says, and the others as the hub says", async ({
      queue,
      database,
    }) => {
      for (const workflow of ["audit", "often", "plain"]) {
        for (const status of ["succeeded", "failed", "cancelled"] as const) {
          for (const days of [1, 5, 40, 100])
            await ended({ queue, database }, workflow, status, days);
        }
      }
      const retention = [
        { workflow: "audit", retention: { succeededMs: null, failedMs: 90 * DAY } },
        { workflow: "often", retention: { succeededMs: 3 * DAY, failedMs: 2 * DAY } },
        { workflow: "plain", retention: null },
      ];
      expect(await queue.prune({ retention })).toMatchObject({ runs: 19, more: false });
      expect(await left(database)).toEqual([
        "audit cancelled 1",
        "audit cancelled 40",
        "audit cancelled 5",
        "audit failed 1",
        "audit failed 40",
        "audit failed 5",
        "audit succeeded 1",
        "audit succeeded 5",
        "often cancelled 1",
        "often failed 1",
        "often succeeded 1",
        "plain cancelled 1",
        "plain cancelled 5",
        "plain failed 1",
        "plain failed 5",
        "plain succeeded 1",
        "plain succeeded 5",
      ]);
      // The next call has nothing left to do, also where nobody says it again.
      expect(await queue.prune()).toMatchObject({ runs: 0, more: false });
    });

    test("goes on with what a workflow said last, until it says otherwise", async ({
      queue,
      database,
    }) => {
      await ended({ queue, database }, "audit", "failed", 40);
      const says = (retention: { succeededMs: number; failedMs: number } | null) => ({
        retention: [{ workflow: "audit", retention }],
      });
      expect(await queue.prune(says({ succeededMs: DAY, failedMs: 90 * DAY }))).toMatchObject({
        runs: 0,
      });
      // Its file is broken, and another hub leads.
      expect(await queue.prune({ retention: [] })).toMatchObject({ runs: 0 });
      expect(await queue.prune(says(null))).toMatchObject({ runs: 1 });
      // A shorter time holds for runs that were looked at before.
      await ended({ queue, database }, "audit", "failed", 10);
      await queue.prune(says({ succeededMs: DAY, failedMs: 20 * DAY }));
      expect(await queue.prune(says({ succeededMs: 20 * DAY, failedMs: DAY }))).toMatchObject({
        runs: 1,
      });
    });

    test("reads no run twice that it keeps, however many there are", async ({
      queue,
      database,
    }) => {
      await queue.startRun(makePlan([{ step: "only" }], { workflow: "audit" }));
      await database.sql`
        insert into public.loom_runs (workflow_id, version, input, status, trigger, finished_at)
        select 'audit', 'v1', '{}', case when n % 100 = 0 then 'succeeded' else 'failed' end, 'manual', now() - interval '5 days' + n * interval '1 second'
          from generate_series(1, 20000) as n`;
      await database.sql`analyze public.loom_runs`;
      const retention = [
        { workflow: "audit", retention: { succeededMs: DAY, failedMs: 90 * DAY } },
      ];
      let removed = 0;
      for (let more = true, first = true; more; first = false) {
        const pruned = await queue.prune(first ? { retention } : {});
        removed += pruned.runs;
        more = pruned.more;
      }
      expect(removed).toBe(200);
      const [plan] = await database.sql<{ read: number }[]>`
        select count(*)::integer as read from public.loom_runs, public.loom_retention
         where finished_at >= pruned_to and finished_at < now() - interval '1 day'`;
      // At most one: of the moment up to which it looked.
      expect(plan?.read).toBeLessThanOrEqual(1);
      await database.sql`delete from public.loom_runs where input = '{}' and finished_at is not null`;
    });

    test("leaves a run that is locked for the next call", async ({ queue, database }) => {
      const retention = [
        { workflow: "audit", retention: { succeededMs: DAY, failedMs: 90 * DAY } },
      ];
      await ended({ queue, database }, "audit", "succeeded", 5);
      await ended({ queue, database }, "audit", "succeeded", 4);
      await database.sql.begin(async (sql) => {
        await sql`select from public.loom_runs where finished_at < now() - interval '4 days 12 hours' for update`;
        expect(await queue.prune({ retention })).toMatchObject({ runs: 1 });
      });
      expect(await queue.prune()).toMatchObject({ runs: 1 });
    });

    // Interleavings: each takes rows that no other one has locked, so no row is counted twice.
    test("removes each row once when several hubs prune", async ({ queue, database }) => {
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
