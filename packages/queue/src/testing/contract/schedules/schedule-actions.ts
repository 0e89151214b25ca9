import { describe, expect } from "vitest";
import type { QueueTest } from "../../queue-test.ts";
import { hour, leadSchedule, schedulePlan as plan, skippedSlot } from "../../schedule.ts";

export function scheduleActionsContract(test: QueueTest): void {
  describe("triggerSchedule", () => {
    test("starts a run of the schedule, paused or not", async ({ queue, database }) => {
      const { read } = await leadSchedule({ queue, database });
      await queue.pauseSchedule("nightly", "holiday");
      const { revision } = await read();
      const started = await queue.triggerSchedule("nightly", plan, { askedBy: "ada" });
      expect(await queue.getRun(started?.runId ?? "")).toMatchObject({
        trigger: "manual",
        askedBy: "ada",
        status: "running",
      });
      expect(await read()).toMatchObject({ running: true, revision: revision + 1 });
      const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
      await queue.triggerSchedule("nightly", plan, { traceparent });
      expect((await queue.listWaiting()).map((job) => job.traceparent)).toContain(traceparent);
      await queue.triggerSchedule("nightly", plan);
      expect((await queue.listRuns()).runs).toHaveLength(3);
    });

    test("refuses a schedule that no workflow defines any more, and one that never existed", async ({
      queue,
      database,
    }) => {
      const { epoch } = await leadSchedule({ queue, database });
      await queue.syncSchedules([], epoch);
      await expect(queue.triggerSchedule("nightly", plan)).rejects.toMatchObject({
        code: "SCHEDULE_REMOVED",
      });
      expect(await queue.triggerSchedule("daily", plan)).toBeNull();
      expect((await queue.listRuns()).runs).toEqual([]);
    });
  });

  describe("pauseSchedule and resumeSchedule", () => {
    test("record the time and the reason, and change later decisions", async ({
      queue,
      database,
    }) => {
      const { read } = await leadSchedule({ queue, database });
      const { revision } = await read();
      expect(await queue.pauseSchedule("nightly", "holiday")).toBe(true);
      const { pausedAt } = await read();
      expect(await queue.pauseSchedule("nightly", "longer")).toBe(true);
      expect(await read()).toMatchObject({
        pausedAt,
        pauseNote: "longer",
        revision: revision + 2,
      });
      for (let time = 0; time < 2; time += 1) {
        expect(await queue.resumeSchedule("nightly")).toBe(true);
      }
      expect(await read()).toMatchObject({ pausedAt: null, pauseNote: null });
      const { events } = await queue.readEvents();
      expect(events.map(({ type, detail }) => [type, detail])).toEqual([
        ["schedule.paused", "nightly"],
        ["schedule.paused", "nightly"],
        ["schedule.resumed", "nightly"],
      ]);
    });

    test("refuse a schedule that never existed", async ({ queue }) => {
      expect(await queue.pauseSchedule("nightly")).toBe(false);
      expect(await queue.resumeSchedule("nightly")).toBe(false);
    });
  });

  describe("listSlots", () => {
    test("is read page by page, newest first, and pruned", async ({ queue, database }) => {
      const { decide } = await leadSchedule({ queue, database });
      await (await decide([1, 2, 3].map(skippedSlot)))();

      const first = await queue.listSlots("nightly", { limit: 2 });
      expect(first?.slots.map(({ id }) => id)).toEqual(["nightly@3", "nightly@2"]);
      const second = await queue.listSlots("nightly", { limit: 2, after: first?.next ?? hour(0) });
      expect(second).toMatchObject({ slots: [{ id: "nightly@1" }], next: null });
      expect(await queue.listSlots("daily")).toBeNull();

      expect(await queue.prune({ limit: 2 })).toMatchObject({ slots: 2, more: true });
      expect(await queue.prune({ limit: 2 })).toMatchObject({ slots: 1, more: false });
      expect(await queue.listSlots("nightly")).toEqual({ slots: [], next: null });
    });

    test("removes the slots together with a schedule that was removed long ago", async ({
      queue,
      database,
    }) => {
      const { epoch } = await leadSchedule({ queue, database });
      await queue.syncSchedules([], epoch);
      await queue.prune();
      expect(await queue.listSlots("nightly")).not.toBeNull();
      await database.sql`update public.loom_schedules set removed_at = removed_at - interval '31 days'`;
      await queue.prune();
      expect(await queue.listSlots("nightly")).toBeNull();
    });
  });
}
