import { describe, expect } from "vitest";
import { claim, offerAll, runningJob, sayHello } from "../../agent.ts";
import { makePlan } from "../../plan.ts";
import type { QueueTest } from "../../queue-test.ts";
import { hour, leadSchedule, skippedSlot } from "../../schedule.ts";
import { failure, success } from "../../settlements.ts";
import { untilReadable } from "../../until-readable.ts";

const DAY_MS = 86_400_000;

export function summaryContract(test: QueueTest): void {
  describe("summarize", () => {
    test("counts how runs ended, and says which step failed, where and why", async ({ queue }) => {
      const ended = await runningJob(queue);
      await queue.settle("forge", [success(ended.job)]);
      const failed = await queue.startRun(
        makePlan([{ step: "a" }, { step: "b", after: ["a"] }], { workflow: "other" }),
      );
      await offerAll(queue, "forge");
      const [job] = await claim(queue, ended.session, { seq: 2 });
      const error = { message: "no space left\non the disk", stack: "x".repeat(8_000) };
      await queue.settle("forge", [
        { ...failure({ id: job?.id ?? 0, fence: 1 }), outcome: "failed", error },
      ]);
      await queue.startRun(makePlan([{ step: "a" }]));

      const { runs, failures } = await queue.summarize(DAY_MS);
      expect(runs).toEqual({ succeeded: 1, failed: 1 });
      expect(failures).toMatchObject([
        {
          runId: failed.runId,
          workflow: "other",
          step: "a",
          node: "forge",
          attempt: 1,
          error: "no space left",
          repeatedAs: null,
        },
      ]);
      const { runId } = await queue.retryRun(failed.runId, { mode: "failed" });
      expect((await queue.summarize(DAY_MS)).failures).toMatchObject([
        { runId: failed.runId, repeatedAs: runId, repeatedStatus: "running" },
      ]);
    });

    test("leaves out events that are older than requested", async ({ queue, database }) => {
      const { job } = await runningJob(queue);
      await queue.settle("forge", [failure(job)]);
      await untilReadable(database);
      expect(await queue.summarize(3_600_000)).toMatchObject({ runs: { failed: 1 } });
      await database.sql`update public.loom_runs set finished_at = finished_at - interval '2 hours'`;
      await database.sql`update public.loom_event_batches set at = at - interval '2 hours'`;
      expect(await queue.summarize(3_600_000)).toMatchObject({
        runs: {},
        failures: [],
        events: [],
      });
    });

    test("reports the start and the end of a node's absence, also of one that goes on", async ({
      queue,
      database,
    }) => {
      const at = async (type: string, node: string, hoursAgo: number) =>
        database.sql`
          insert into public.loom_event_batches (type, node, at)
          values (${type}, ${node}, now() - ${hoursAgo} * interval '1 hour')`;
      for (const node of ["forge", "pi"]) await sayHello(queue, node);
      await database.sql`delete from public.loom_event_batches`;
      await at("node.dead", "forge", 60);
      await at("node.hello", "forge", 50);
      await at("node.dead", "forge", 30);
      await at("node.hello", "forge", 20);
      await at("node.dead", "forge", 10);
      await at("node.hello", "forge", 9);
      await at("node.dead", "pi", 5);
      await at("node.dead", "long-removed", 4);
      await untilReadable(database);
      const { absences } = await queue.summarize(DAY_MS);
      const hours = (date: Date | null) =>
        date && Math.round((Date.now() - date.getTime()) / 3.6e6);
      expect(absences.map(({ node, from, until }) => [node, hours(from), hours(until)])).toEqual([
        ["pi", 5, null],
        ["forge", 10, 9],
        ["forge", 30, 20],
      ]);
    });

    test("counts the times of a schedule that started nothing, by cause", async ({
      queue,
      database,
    }) => {
      const nightly = await leadSchedule({ queue, database });
      await (await nightly.decide([skippedSlot(1), skippedSlot(2)]))();
      await database.sql`update public.loom_schedule_slots set slot_at = slot_at - ${hour(2)} + now()`;
      await database.sql`update public.loom_schedules set decided_until = now()`;
      expect((await queue.summarize(DAY_MS)).slots).toMatchObject([
        {
          scheduleId: "nightly",
          decision: "skipped",
          code: "overlap",
          reason: "an earlier run had not finished",
          count: 2,
        },
      ]);
    });

    test("lists the newest events with the names of their steps", async ({ queue, database }) => {
      const { job, runId } = await runningJob(queue);
      await queue.settle("forge", [success(job)]);
      await untilReadable(database);
      const { events } = await queue.summarize(DAY_MS);
      expect(events.map(({ type, workflow, step }) => [type, workflow, step])).toEqual([
        ["run.finished", "made-for-test", null],
        ["job.settled", "made-for-test", "only"],
        ["job.claimed", "made-for-test", "only"],
        ["job.offered", "made-for-test", "only"],
        ["node.hello", null, null],
        ["run.started", "made-for-test", null],
      ]);
      expect(events[0]?.runId).toBe(runId);
    });
  });

  describe("the reason why a run waits", () => {
    test("is the reason of its step while no step runs", async ({ queue }) => {
      const session = await sayHello(queue, "forge");
      const { runId } = await queue.startRun(makePlan([{ step: "a" }, { step: "b" }]));
      const reasonOf = async () => {
        const [listed] = (await queue.listRuns()).runs;
        const { waitingReason } = await queue.getRun(runId);
        expect(listed?.waitingReason).toEqual(waitingReason);
        return waitingReason?.summary ?? null;
      };
      // Not placed yet: that is no reason.
      expect(await reasonOf()).toBeNull();
      const [first, second] = await queue.listWaiting();
      const refusals = [first, second].map((job) => ({
        job: job?.id ?? 0,
        reason: { code: "no_capable_node", summary: "no node offers has-laser" },
      }));
      await queue.place({ offers: [], refusals, offerMs: 15_000 });
      expect(await reasonOf()).toBe("no node offers has-laser");
      await queue.place({
        offers: [{ job: first?.id ?? 0, node: "forge", placement: null }],
        refusals: [],
        offerMs: 15_000,
      });
      const [job] = await claim(queue, session);
      expect(await reasonOf()).toBeNull();
      await queue.settle("forge", [success(job ?? { id: 0, fence: 1 })]);
      expect(await reasonOf()).toBe("no node offers has-laser");
      await queue.cancelRun(runId);
      expect(await reasonOf()).toBeNull();
    });

    test("names the node that its step is pinned to while that node takes no work", async ({
      queue,
    }) => {
      const { runId } = await queue.startRun(makePlan([{ step: "a", host: "anvil" }]));
      const summaryOf = async () => (await queue.getRun(runId)).waitingReason?.summary;
      expect(await summaryOf()).toBe("anvil is offline");
      await sayHello(queue, "anvil");
      expect(await summaryOf()).toBeUndefined();
      await queue.setNodeStatus("anvil", { status: "paused" });
      expect(await summaryOf()).toBe("anvil takes no work");
      await queue.setNodeStatus("anvil", { status: "active" });
      await queue.pauseWorkflow("made-for-test");
      expect(await summaryOf()).toBe("its workflow is paused");
    });
  });
}
