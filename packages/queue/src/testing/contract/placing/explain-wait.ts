import { describe, expect } from "vitest";
import { migrationNames } from "../../../migrate.ts";
import { claim, offerAll, only, sayHello } from "../../agent.ts";
import { makeJob } from "../../new-job.ts";
import { makePlan } from "../../plan.ts";
import type { QueueTest } from "../../queue-test.ts";

const limited = { concurrency: { key: "printer", limit: 1 } };

export function explainWaitContract(test: QueueTest): void {
  describe("explainWait", () => {
    test("describes a waiting job as listWaiting does", async ({ queue }) => {
      await queue.startRun(
        makePlan([
          { step: "a", host: "forge" },
          { step: "b", after: ["a"], requires: ["has-gpu"] },
        ]),
      );
      const session = await sayHello(queue, "forge");
      const job = only(await claim(queue, session));
      await queue.settle("forge", [
        { id: job.id, fence: job.fence, outcome: "succeeded", result: 1 },
      ]);
      const listed = only(await queue.listWaiting());
      const { waiting, ...rest } = await queue.explainWait(listed.id);
      expect(waiting).toEqual(listed);
      expect(rest).toMatchObject({
        job: { state: "waiting" },
        dueInMs: 0,
        isPaused: false,
        openSteps: [],
      });
    });

    test("describes a job that placing passes over because its key is full", async ({ queue }) => {
      const [first, second] = await queue.enqueue([makeJob(limited), makeJob(limited)]);
      await sayHello(queue, "forge");
      await queue.place({
        offers: [{ job: first?.id ?? 0, node: "forge", placement: null }],
        refusals: [],
      });
      expect(await queue.listWaiting()).toEqual([]);
      const concurrency = { key: "printer", limit: 1 };
      expect((await queue.explainWait(second?.id ?? 0)).waiting).toMatchObject({
        concurrency: { ...concurrency, running: 1 },
      });
      expect((await queue.explainWait(first?.id ?? 0)).waiting).toMatchObject({
        concurrency: { ...concurrency, running: 0 },
      });
    });

    test("names the causes of waiting that do not depend on nodes", async ({ queue }) => {
      const [later, pinned] = await queue.enqueue([
        makeJob({ delayMs: 3_600_000 }),
        makeJob({ host: "nowhere" }),
      ]);
      const { runId } = await queue.startRun(
        makePlan([{ step: "a" }, { step: "b", after: ["a"] }]),
      );
      await queue.pauseWorkflow("made-for-test");
      const { dueInMs, isPaused } = await queue.explainWait(later?.id ?? 0);
      expect(dueInMs).toBeGreaterThan(3_500_000);
      expect(isPaused).toBe(true);
      expect((await queue.explainWait(pinned?.id ?? 0)).waiting.host).toBe("nowhere");
      const blocked = (await queue.getRun(runId)).jobs.find(({ step }) => step === "b");
      expect((await queue.explainWait(blocked?.id ?? 0)).openSteps).toEqual([
        { step: "a", state: "waiting" },
      ]);
    });

    test("returns nothing for an unknown job", async ({ queue }) => {
      await expect(queue.explainWait(999_999)).rejects.toMatchObject({ code: "JOB_NOT_FOUND" });
    });
  });

  describe("a reason", () => {
    test("is an event when its code changes", async ({ queue }) => {
      const job = only(await queue.enqueue([makeJob()])).id;
      for (const reason of [
        { code: "no_nodes", summary: "no node is known" },
        { code: "no_capable_node_free", summary: "1 is full" },
        { code: "no_capable_node_free", summary: "2 are full" },
        { code: "no_nodes", summary: "no node is known" },
      ]) {
        await queue.place({ offers: [], refusals: [{ job, reason }] });
      }
      const { events } = await queue.readEvents();
      expect(
        events
          .filter(({ type }) => type === "job.waiting")
          .map(({ jobId, state, detail }) => [jobId, state, detail]),
      ).toEqual([
        [job, "waiting", "no_nodes"],
        [job, "waiting", "no_capable_node_free"],
        [job, "waiting", "no_nodes"],
      ]);
    });

    test("is not stored for a job that has a node", async ({ queue }) => {
      const job = only(await queue.enqueue([makeJob()])).id;
      await sayHello(queue, "forge");
      await offerAll(queue, "forge");
      await queue.place({
        offers: [],
        refusals: [{ job, reason: { code: "no_nodes", summary: "no node is known" } }],
      });
      const { events } = await queue.readEvents();
      expect(events.filter(({ type }) => type === "job.waiting")).toEqual([]);
    });
  });

  describe("describeDatabase", () => {
    test("names the owner of an open transaction that holds events back", async ({
      queue,
      database,
    }) => {
      expect(await queue.describeDatabase()).toMatchObject({ heldBackMs: null });
      await database.sql.begin(async (sql) => {
        const [row] = await sql<{ pid: number }[]>`
          select pg_current_xact_id(), pg_backend_pid() as pid`;
        await queue.enqueue([makeJob()]);
        expect(await queue.readEvents()).toMatchObject({ events: [] });
        const { heldBackMs, oldestWriter } = await queue.describeDatabase();
        expect(heldBackMs).toBeGreaterThanOrEqual(0);
        expect(oldestWriter).toMatchObject({ pid: row?.pid });
      });
      expect((await queue.readEvents()).events).toHaveLength(1);
    });

    test("returns its clock and its applied migrations", async ({ queue }) => {
      const before = Date.now();
      const { now, migrations } = await queue.describeDatabase();
      expect(now.getTime()).toBeGreaterThan(before - 2_000);
      expect(migrations).toEqual(await migrationNames());
    });
  });
}
