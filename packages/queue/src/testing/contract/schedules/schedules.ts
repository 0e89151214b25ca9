import type { Database } from "@loom/local-db";
import { cron } from "@loom/workflow";
import { describe, expect } from "vitest";
import type { NewSlot } from "../../../schedules.ts";
import { claim, offerAll, only, sayHello } from "../../agent.ts";
import type { QueueFixtures, QueueTest } from "../../queue-test.ts";
import {
  definition,
  hour,
  leadSchedule,
  schedulePlan as plan,
  rewind,
  skippedSlot,
  slot,
} from "../../schedule.ts";
import { success } from "../../settlements.ts";
import { untilWaiting } from "../../until-waiting.ts";

const queued = (hours: number) => slot(hours, { start: "after-running" });

const counts = async (database: Database) =>
  only(
    await database.sql`
      select (select count(*)::int from public.loom_runs) as runs,
             (select count(*)::int from public.loom_job_queue) as jobs,
             (select count(*)::int from public.loom_schedule_slots) as slots`,
  );
const nothing = { runs: 0, jobs: 0, slots: 0 };
const oneRun = { runs: 1, jobs: 2, slots: 1 };

export function schedulesContract(test: QueueTest): void {
  describe("syncSchedules", () => {
    test("refuses a schedule that the tables refuse, and writes the others", async ({ queue }) => {
      const { epoch } = await queue.lead("one", 45_000);
      const input = "x".repeat(270_000);
      const all = [definition("a"), { ...definition("b"), input }, definition("c")];
      expect(await queue.syncSchedules(all, epoch)).toEqual({
        answer: "written",
        refused: [{ id: "b", reason: expect.stringContaining("loom_input") }],
      });
      const { schedules } = await queue.listSchedules();
      expect(schedules.map(({ id }) => id)).toEqual(["a", "c"]);
      const { events } = await queue.readEvents();
      expect(events.filter(({ type }) => type === "schedule.refused")).toHaveLength(1);
    });

    test("stores the defined schedules, and removes the others", async ({ queue }) => {
      const { epoch } = await queue.lead("one", 6_000);
      const timing = cron("30 2 * * *", {
        timeZone: "Europe/Paris",
        input: { deep: [1] },
        overlap: "queue-one",
        missed: { all: 3 },
        grace: "5m",
      });
      const both = [definition("a", timing), definition("b")];
      expect(await queue.syncSchedules(both, epoch)).toEqual({ answer: "written", refused: [] });
      const { now, schedules } = await queue.listSchedules();
      expect(schedules).toMatchObject([
        { id: "a", workflow: "made-for-test", ...timing, running: false, queued: null },
        { id: "b", missed: "once", removedAt: null, pausedAt: null, lastSlot: null },
      ]);
      for (const { decidedUntil } of schedules) {
        expect(now.getTime() - decidedUntil.getTime()).toBeLessThan(5_000);
      }
      await queue.syncSchedules([definition("b")], epoch);
      expect((await queue.listSchedules()).schedules).toMatchObject([
        { id: "a", removedAt: expect.any(Date) },
        { id: "b", removedAt: null },
      ]);
    });

    test("writes changed schedules, which continue from their last decision", async ({
      queue,
      database,
    }) => {
      const { epoch, read } = await leadSchedule({ queue, database });
      const before = await read();
      await queue.syncSchedules([definition("nightly")], epoch);
      expect(await read()).toEqual(before);
      await queue.syncSchedules([definition("nightly", cron("@daily"))], epoch);
      expect(await read()).toMatchObject({
        expression: "@daily",
        decidedUntil: hour(0),
        revision: before.revision + 1,
      });
    });

    test("starts a schedule anew that was removed meanwhile", async ({ queue, database }) => {
      const { epoch, read } = await leadSchedule({ queue, database });
      await queue.syncSchedules([], epoch);
      await queue.syncSchedules([definition("nightly")], epoch);
      const { decidedUntil, removedAt } = await read();
      expect(removedAt).toBeNull();
      expect(decidedUntil.getTime()).toBeGreaterThan(hour(24).getTime());
    });

    // Interleavings: one writes `a` and wants `b`, which another has written that wants `a`; and one
    // wants `nightly`, which a decision has locked that has yet to write it. All wait at the table.
    test("runs copies with different lists, and decisions, one after the other", async ({
      queue,
      database,
    }) => {
      const { epoch } = await leadSchedule({ queue, database });
      for (let round = 1; round <= 15; round += 1) {
        const { schedules } = await queue.listSchedules();
        const revision = schedules.find(({ id }) => id === "nightly")?.revision ?? 0;
        const timing = cron(`${round} * * * *`);
        const lists = [["a"], ["b", "nightly"], ["a", "nightly"], ["b"], ["nightly"]];
        const copies = lists.map((ids) =>
          queue.syncSchedules(
            ids.map((id) => definition(id, timing)),
            epoch,
          ),
        );
        const decision = queue.decideSlots(
          { schedule: "nightly", revision, slots: [], decidedUntil: hour(24), plan },
          epoch,
        );
        expect(await Promise.all(copies)).toMatchObject(lists.map(() => ({ answer: "written" })));
        expect(["written", "changed"]).toContain((await decision).answer);
      }
    });
  });

  describe("rewindSchedule", () => {
    const ahead = ({ database }: Pick<QueueFixtures, "database">) =>
      database.sql`update public.loom_schedules set decided_until = now() + interval '3 weeks'`;

    // Interleavings: the schedule's lock lets one after the other; the second finds another revision.
    test("is done once when several hubs have read the same state", async ({ queue, database }) => {
      const { epoch, read } = await leadSchedule({ queue, database });
      await ahead({ database });
      const { revision } = await read();
      const answers = await Promise.all(
        Array.from({ length: 5 }, () => queue.rewindSchedule("nightly", revision, epoch)),
      );
      expect(answers.filter(Boolean)).toHaveLength(1);
      expect((await read()).decidedUntil.getTime()).toBeLessThan(Date.now() + 60_000);
    });

    test("forgets slots without a run, and keeps slots with one", async ({ queue, database }) => {
      const { epoch, read } = await leadSchedule({ queue, database });
      const { runId } = await queue.startRun(plan);
      await database.sql`update public.loom_runs set schedule_id = 'nightly'`;
      await ahead({ database });
      await database.sql`
        insert into public.loom_schedule_slots (id, schedule_id, slot_at, decision, run_id, merged_into)
        values ('nightly@1', 'nightly', now() + interval '1 day', 'fired', ${runId}, null),
               ('nightly@2', 'nightly', now() + interval '2 days', 'merged', null, 'nightly@3')`;
      await queue.rewindSchedule("nightly", (await read()).revision, epoch);
      expect((await queue.listSlots("nightly"))?.slots).toMatchObject([{ id: "nightly@1" }]);
    });

    test("is allowed only to the leader, and only for a future time", async ({
      queue,
      database,
    }) => {
      const { epoch, read } = await leadSchedule({ queue, database });
      expect(await queue.rewindSchedule("nightly", (await read()).revision, epoch)).toBe(false);
      await ahead({ database });
      const { revision } = await read();
      expect(await queue.rewindSchedule("nightly", revision, epoch + 1)).toBe(false);
      expect((await read()).revision).toBe(revision);
    });
  });

  describe("decideSlots", () => {
    test("writes slots, their runs with all steps, and the time until which they are decided", async ({
      queue,
      database,
    }) => {
      const { read, decide } = await leadSchedule({ queue, database });
      const merged = {
        id: "nightly@1",
        at: hour(1),
        decision: "merged",
        into: "nightly@2",
      } as const;
      const slots = [merged, slot(2, { decision: "late" }), skippedSlot(3)];
      const { answer, started } = await (await decide(slots, hour(4)))();
      expect(answer).toBe("written");

      const runId = only(started);
      expect(await queue.getRun(runId)).toMatchObject({
        trigger: "schedule",
        jobs: [{ step: "a" }, { step: "b" }],
      });
      expect(await read()).toMatchObject({
        decidedUntil: hour(4),
        running: true,
        queued: null,
        lastSlot: { id: "nightly@3", decision: "skipped" },
      });
      expect(await queue.listSlots("nightly")).toMatchObject({
        slots: [
          { slotAt: hour(3), runId: null, code: "overlap", reason: expect.stringContaining("run") },
          { slotAt: hour(2), runId, decision: "late", queued: false },
          { slotAt: hour(1), runId: null, mergedInto: "nightly@2" },
        ],
        next: null,
      });
    });

    test("changes nothing when the schedule has changed since it was read", async ({
      queue,
      database,
    }) => {
      const { read, decide } = await leadSchedule({ queue, database });
      const write = await decide([slot(1)]);
      await queue.pauseSchedule("nightly");
      expect(await write()).toEqual({ answer: "changed", started: [] });
      expect(await counts(database)).toEqual(nothing);
      expect(await read()).toMatchObject({ decidedUntil: hour(0) });
    });

    test("is done once, however often the answer is lost", async ({ queue, database }) => {
      const { decide } = await leadSchedule({ queue, database });
      const write = await decide([slot(1)]);
      expect(await write()).toMatchObject({ answer: "written" });
      expect(await write()).toMatchObject({ answer: "changed" });
      expect(await counts(database)).toEqual(oneRun);
    });

    test("is refused when another hub has taken over", async ({ queue, database }) => {
      const { epoch, decide } = await leadSchedule({ queue, database });
      await database.sql`update public.loom_leaders set expires_at = now() where duty = 'loops'`;
      await queue.lead("other", 6_000);
      expect(await (await decide([slot(1)]))()).toMatchObject({ answer: "deposed" });
      expect(await queue.syncSchedules([], epoch)).toMatchObject({ answer: "deposed" });
      expect(await queue.startQueuedSlot("nightly", plan, epoch)).toEqual({ answer: "deposed" });
      expect(await counts(database)).toEqual(nothing);
    });

    // Interleavings: the schedule's lock lets one after the other; every later one finds the
    // revision of the first.
    test("starts one run when many hubs send the same decision", async ({ queue, database }) => {
      const { decide } = await leadSchedule({ queue, database });
      const write = await decide([slot(1)]);
      const answers = await Promise.all(Array.from({ length: 8 }, write));
      expect(answers.filter(({ answer }) => answer === "written")).toHaveLength(1);
      expect(answers.filter(({ answer }) => answer === "changed")).toHaveLength(7);
      expect(await counts(database)).toEqual(oneRun);
    });

    // The revision is what a hub read; should that ever fail to tell two decisions apart, the slot's
    // row still does.
    test("starts no second run of a slot, even with the right revision", async ({
      queue,
      database,
    }) => {
      const { decide } = await leadSchedule({ queue, database });
      for (let time = 1; time <= 2; time += 1) {
        await rewind({ database });
        expect(await (await decide([slot(1)]))()).toMatchObject({ answer: "written" });
      }
      expect(await counts(database)).toEqual(oneRun);
    });

    // Interleaving: the deposed leader's call waits for the row that the successor's takeover holds,
    // and finds another epoch in it.
    test("is refused when the takeover commits while it waits", async ({ queue, database }) => {
      const { decide } = await leadSchedule({ queue, database });
      const write = await decide([slot(1)]);
      const { late } = await database.sql.begin(async (sql) => {
        await sql`update public.loom_leaders set expires_at = clock_timestamp() where duty = 'loops'`;
        await sql`select public.loom_lead('other', 6000)`;
        const late = write();
        await untilWaiting(database);
        return { late };
      });
      expect(await late).toMatchObject({ answer: "deposed" });
      expect(await counts(database)).toEqual(nothing);
    });

    test.for<{ title: string; slots: NewSlot[]; until: Date }>([
      { title: "a slot before what is decided", slots: [slot(-1)], until: hour(1) },
      { title: "a slot after what is decided now", slots: [slot(2)], until: hour(1) },
      { title: "a moment that has not come", slots: [], until: new Date("2136-01-01") },
      { title: "a row that cannot be", slots: [slot(1, { id: "x".repeat(201) })], until: hour(1) },
    ])("refuses $title, and writes nothing", async ({ slots, until }, { queue, database }) => {
      const { decide } = await leadSchedule({ queue, database });
      const write = await decide(slots, until);
      await expect(write()).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
      expect(await counts(database)).toEqual(nothing);
    });
  });

  describe("startQueuedSlot", () => {
    /** One run goes on, one slot waits for it. */
    async function queueOne(fixtures: QueueFixtures) {
      const led = await leadSchedule(fixtures, cron("@hourly", { overlap: "queue-one" }));
      const { started } = await (await led.decide([slot(1), queued(2)], hour(2)))();
      const start = () => fixtures.queue.startQueuedSlot("nightly", plan, led.epoch);
      return { ...led, runId: only(started), start };
    }

    // Interleavings: the schedule's lock lets one after the other; every later one finds the
    // first's run unfinished.
    test("starts the run when the one before has ended, once", async ({ queue, database }) => {
      const { read, runId, start } = await queueOne({ queue, database });
      expect(await read()).toMatchObject({ running: true, queued: "nightly@2" });
      expect(await start()).toEqual({ answer: "waiting" });

      const session = await sayHello(queue, "forge");
      for (let seq = 1; seq <= 2; seq += 1) {
        await offerAll(queue, "forge");
        await queue.settle("forge", [success(only(await claim(queue, session, { seq })))]);
      }
      expect(await queue.getRun(runId)).toMatchObject({ status: "succeeded" });
      const answers = await Promise.all([start(), start(), start()]);
      expect(answers.filter(({ answer }) => answer === "started")).toHaveLength(1);
      expect(await start()).toEqual({ answer: "waiting" });
      expect(await read()).toMatchObject({
        running: true,
        queued: null,
        lastSlot: { id: "nightly@2", queued: false, runId: expect.any(String) },
      });
    });

    test("goes on waiting while the schedule is paused", async ({ queue, database }) => {
      const { runId, start } = await queueOne({ queue, database });
      await queue.cancelRun(runId);
      await queue.pauseSchedule("nightly");
      expect(await start()).toEqual({ answer: "waiting" });
      await queue.resumeSchedule("nightly");
      expect(await start()).toMatchObject({ answer: "started" });
    });

    test("keeps at most one waiting slot", async ({ queue, database }) => {
      const { decide } = await queueOne({ queue, database });
      const write = await decide([queued(3)]);
      await expect(write()).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    });
  });
}
