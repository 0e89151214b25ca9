import { describe, expect } from "vitest";
import { claim, offerAll, sayHello } from "../../agent.ts";
import { makeJob } from "../../new-job.ts";
import { makePlan } from "../../plan.ts";
import type { QueueTest } from "../../queue-test.ts";
import { success } from "../../settlements.ts";

export function listsContract(test: QueueTest): void {
  describe("listRuns", () => {
    test("lists the newest run first, with its progress and its nodes", async ({ queue }) => {
      const old = await queue.startRun(makePlan([{ step: "a" }, { step: "b", after: ["a"] }]), {
        askedBy: "ada",
        key: "nightly",
      });
      const session = await sayHello(queue, "forge");
      await offerAll(queue, "forge");
      await queue.settle("forge", (await claim(queue, session)).map(success));
      const young = await queue.startRun(makePlan([{ step: "a" }], { workflow: "other" }));
      const { runs, next } = await queue.listRuns();
      expect(next).toBeNull();
      expect(runs).toMatchObject([
        { id: young.runId, workflow: "other", steps: { waiting: 1 }, nodes: [], key: null },
        {
          id: old.runId,
          status: "running",
          trigger: "api",
          askedBy: "ada",
          key: "nightly",
          steps: { succeeded: 1, waiting: 1 },
          nodes: ["forge"],
          finishedAt: null,
        },
      ]);
    });

    test("lists the runs that match a filter", async ({ queue }) => {
      const plain = await queue.startRun(makePlan([{ step: "a" }]));
      const other = await queue.startRun(makePlan([{ step: "a" }], { workflow: "other" }), {
        askedBy: "ada",
        trigger: "manual",
      });
      await queue.cancelRun(other.runId);
      const idsOf = async (filter: Parameters<typeof queue.listRuns>[0]) =>
        (await queue.listRuns(filter)).runs.map(({ id }) => id);
      const hourAgo = new Date(Date.now() - 3_600_000);
      const inAnHour = new Date(Date.now() + 3_600_000);
      expect(await idsOf({ workflow: "other" })).toEqual([other.runId]);
      expect(await idsOf({ status: "running" })).toEqual([plain.runId]);
      expect(await idsOf({ trigger: "manual", askedBy: "ada" })).toEqual([other.runId]);
      expect(await idsOf({ workflow: "made-for-test", status: "cancelled" })).toEqual([]);
      expect(await idsOf({ since: hourAgo, until: inAnHour })).toEqual([other.runId, plain.runId]);
      expect(await idsOf({ since: inAnHour })).toEqual([]);
      expect(await idsOf({ until: hourAgo })).toEqual([]);
    });

    // They all begin at one instant: what tells them apart is the id alone.
    test("is read in pages without gaps or repeats, also within one instant", async ({
      queue,
      database,
    }) => {
      for (let n = 0; n < 7; n += 1) await queue.startRun(makePlan([{ step: "a" }]));
      await database.sql`update public.loom_runs set created_at = '2026-11-25T01:02:03.456789Z'`;
      const whole = (await queue.listRuns()).runs.map(({ id }) => id);
      const seen: string[] = [];
      for (let after: string | undefined; ; ) {
        const { runs, next } = await queue.listRuns({ after, limit: 3 });
        expect(runs.length).toBeLessThanOrEqual(3);
        seen.push(...runs.map(({ id }) => id));
        if (next === null) break;
        after = next;
      }
      expect(seen).toEqual(whole);
      expect(whole).toHaveLength(7);
    });

    test.for(["", "x", "1", "1.2", "now"])("refuses '%s' as a place", async (after, { queue }) => {
      await expect(queue.listRuns({ after })).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    });
  });

  describe("listJobs", () => {
    test("lists the newest job first, of all jobs or of those that match a filter", async ({
      queue,
    }) => {
      const session = await sayHello(queue, "forge");
      const { runId } = await queue.startRun(
        makePlan([{ step: "a" }, { step: "b", after: ["a"] }]),
      );
      await offerAll(queue, "forge");
      await queue.settle("forge", (await claim(queue, session)).map(success));
      await queue.enqueue([makeJob({ workflow: "own", host: "anvil" })]);
      const stepsOf = async (filter: Parameters<typeof queue.listJobs>[0]) =>
        (await queue.listJobs(filter)).jobs.map(({ workflow, step }) => `${workflow} ${step}`);
      const all = await queue.listJobs();
      expect(all.next).toBeNull();
      expect(all.jobs.map(({ id }) => id)).toEqual([3, 2, 1]);
      expect(await stepsOf({ runId })).toEqual(["made-for-test b", "made-for-test a"]);
      expect(await stepsOf({ node: "forge" })).toEqual(["made-for-test a"]);
      expect((await queue.listJobs({ node: "anvil" })).jobs).toHaveLength(1);
      expect(await stepsOf({ state: "waiting" })).toEqual(["made-for-test b"]);
      expect((await queue.listJobs({ workflow: "own", state: "pending" })).jobs).toHaveLength(1);
      expect(await stepsOf({ runId: "nope" })).toEqual([]);
    });

    test("is read in pages without gaps or repeats", async ({ queue }) => {
      await queue.enqueue(Array.from({ length: 7 }, () => makeJob()));
      const seen: number[] = [];
      for (let after: number | undefined; ; ) {
        const { jobs, next } = await queue.listJobs({ after, limit: 3 });
        seen.push(...jobs.map(({ id }) => id));
        if (next === null) break;
        after = next;
      }
      expect(seen).toEqual([7, 6, 5, 4, 3, 2, 1]);
    });
  });

  describe("listPaused", () => {
    test("names every paused workflow, and why", async ({ queue }) => {
      await queue.pauseWorkflow("b");
      await queue.pauseWorkflow("a", "disk is full");
      await queue.pauseWorkflow("c");
      await queue.resumeWorkflow("c");
      expect(await queue.listPaused()).toMatchObject([
        { workflow: "a", note: "disk is full", pausedAt: expect.any(Date) },
        { workflow: "b", note: null },
      ]);
    });
  });

  // The row moves past the bound, not the clock.
  describe("a list of rare ones among many", () => {
    test("is read in pages, some of them empty", { timeout: 30_000 }, async ({
      queue,
      database,
    }) => {
      await database.sql`
        insert into public.loom_runs (workflow_id, version, input, trigger, created_at)
        select case n when 1 then 'rare' else 'common' end, '1', '{}', case n when 1 then 'manual' else 'api' end,
               now() - interval '1 day' + n * interval '1 second'
          from generate_series(1, 10001) as n`;
      const first = await queue.listRuns({ trigger: "manual" });
      expect(first).toEqual({ runs: [], next: expect.any(String) });
      const second = await queue.listRuns({ trigger: "manual", after: first.next ?? "" });
      expect(second).toMatchObject({ runs: [{ workflow: "rare" }], next: null });
      await database.sql`delete from public.loom_runs`;
    });
  });
}
