import { describe, expect } from "vitest";
import { migrationNames } from "../../migration-script.ts";
import { claim, offerAll, only, sayHello } from "../agent.ts";
import { makeJob } from "../new-job.ts";
import { makePlan } from "../plan.ts";
import type { QueueTest } from "../queue-test.ts";

const limited = { concurrency: { key: "printer", limit: 1 } };

export function weighingContract(test: QueueTest): void {
  describe("weighJob", () => {
    test("tells of a waiting job what listWaiting does", async ({ queue }) => {
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
      const waiting = only(await queue.listWaiting());
      const { weighed, ...rest } = await queue.weighJob(waiting.id);
      expect(weighed).toEqual(waiting);
      expect(rest).toMatchObject({
        job: { state: "waiting" },
        dueInMs: 0,
        isPaused: false,
        openSteps: [],
      });
    });

    test("tells of a job that placing passes over because its key is full", async ({ queue }) => {
      const [first, second] = await queue.enqueue([makeJob(limited), makeJob(limited)]);
      await sayHello(queue, "forge");
      await queue.place({
        offers: [{ job: first?.id ?? 0, node: "forge", placement: null }],
        refusals: [],
      });
      expect(await queue.listWaiting()).toEqual([]);
      const concurrency = { key: "printer", limit: 1 };
      expect((await queue.weighJob(second?.id ?? 0)).weighed).toMatchObject({
        concurrency: { ...concurrency, running: 1 },
      });
      expect((await queue.weighJob(first?.id ?? 0)).weighed).toMatchObject({
        concurrency: { ...concurrency, running: 0 },
      });
    });

    test("says what holds a job up whatever the nodes are like", async ({ queue }) => {
      const [later, pinned] = await queue.enqueue([
        makeJob({ delayMs: 3_600_000 }),
        makeJob({ host: "nowhere" }),
      ]);
      const { runId } = await queue.startRun(
        makePlan([{ step: "a" }, { step: "b", after: ["a"] }]),
      );
      await queue.pauseWorkflow("made-for-test");
      const { dueInMs, isPaused } = await queue.weighJob(later?.id ?? 0);
      expect(dueInMs).toBeGreaterThan(3_500_000);
      expect(isPaused).toBe(true);
      expect((await queue.weighJob(pinned?.id ?? 0)).weighed.host).toBe("nowhere");
      const blocked = (await queue.getRun(runId)).jobs.find(({ step }) => step === "b");
      expect((await queue.weighJob(blocked?.id ?? 0)).openSteps).toEqual([
        { step: "a", state: "waiting" },
      ]);
    });

    test("knows no job that is not there", async ({ queue }) => {
      await expect(queue.weighJob(999_999)).rejects.toMatchObject({ code: "JOB_NOT_FOUND" });
    });
  });

  describe("a reason", () => {
    test("is an event when its code is another one than before", async ({ queue }) => {
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

    test("is nothing to a job that has a node", async ({ queue }) => {
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
    test("tells its clock, and the migrations that it has had", async ({ queue }) => {
      const before = Date.now();
      const { now, migrations } = await queue.describeDatabase();
      expect(now.getTime()).toBeGreaterThan(before - 2_000);
      expect(migrations).toEqual(await migrationNames());
    });
  });
}
