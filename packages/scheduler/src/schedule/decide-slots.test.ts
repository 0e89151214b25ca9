import { cron, type MissedPolicy, type OverlapPolicy } from "@loom/workflow";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type DecidedSlot, decideSlots, type ScheduleState } from "./decide-slots.ts";
import { dueSlots, slotId } from "./due-slots.ts";

/** The time of a day at which the hourly schedule of these tests is looked at. */
const clock = (time: string) => new Date(`2026-11-22T${time}Z`);
const hourly = (overlap: OverlapPolicy, missed: MissedPolicy) =>
  cron("0 * * * *", { overlap, missed, grace: "1m" });
const state = (from: string, now: string, more: Partial<ScheduleState> = {}): ScheduleState => ({
  id: "s",
  decidedUntil: clock(from),
  now: clock(now),
  running: false,
  queued: null,
  paused: false,
  ...more,
});

/** One word a slot: hour, decision, and where it was merged into or why it got no run. */
function inShort(slots: readonly DecidedSlot[]): string[] {
  return slots.map((slot) => {
    const hour = slot.at.toISOString().slice(11, 13);
    if (slot.decision === "merged") return `${hour} merged ${slot.into.slice(-9, -7)}`;
    if ("code" in slot) return `${hour} ${slot.decision} ${slot.code}`;
    return `${hour} ${slot.decision} ${slot.start}`;
  });
}

describe("decideSlots", () => {
  test.for<{
    title: string;
    overlap: OverlapPolicy;
    missed: MissedPolicy;
    now: string;
    more?: Partial<ScheduleState>;
    decided: string[];
  }>([
    {
      title: "a slot in time is fired",
      overlap: "skip",
      missed: "skip",
      now: "05:00:10",
      decided: ["05 fired now"],
    },
    {
      title: "a slot is in time until the grace has passed",
      overlap: "skip",
      missed: "skip",
      now: "05:01:00",
      decided: ["05 fired now"],
    },
    {
      title: "and overdue after that",
      overlap: "skip",
      missed: "skip",
      now: "05:01:01",
      decided: ["05 missed too_late"],
    },
    {
      title: "skip: overdue slots are missed, the one in time is fired",
      overlap: "skip",
      missed: "skip",
      now: "07:00:10",
      decided: ["05 missed too_late", "06 missed too_late", "07 fired now"],
    },
    {
      title: "once: the newest overdue slot stands for all",
      overlap: "skip",
      missed: "once",
      now: "07:30:00",
      decided: ["05 merged 07", "06 merged 07", "07 late now"],
    },
    {
      title: "once: a slot in time stands for the overdue ones",
      overlap: "skip",
      missed: "once",
      now: "07:00:10",
      decided: ["05 merged 07", "06 merged 07", "07 fired now"],
    },
    {
      title: "all: the newest n overdue slots get a run each",
      overlap: "allow",
      missed: { all: 2 },
      now: "08:30:00",
      decided: [
        "05 missed too_many_missed",
        "06 missed too_many_missed",
        "07 late now",
        "08 late now",
      ],
    },
    {
      title: "all: a slot in time does not count",
      overlap: "allow",
      missed: { all: 1 },
      now: "07:00:10",
      decided: ["05 missed too_many_missed", "06 late now", "07 fired now"],
    },
    {
      title: "overlap skip: while a run goes on, no other starts",
      overlap: "skip",
      missed: "once",
      now: "05:00:10",
      more: { running: true },
      decided: ["05 skipped overlap"],
    },
    {
      title: "overlap skip: the first of several starts",
      overlap: "skip",
      missed: { all: 9 },
      now: "07:00:10",
      decided: ["05 late now", "06 skipped overlap", "07 skipped overlap"],
    },
    {
      title: "queue one: one run waits, and stands for later slots",
      overlap: "queue-one",
      missed: { all: 9 },
      now: "07:00:10",
      decided: ["05 late now", "06 late after-running", "07 merged 06"],
    },
    {
      title: "queue one: a slot waits for a run that goes on",
      overlap: "queue-one",
      missed: "once",
      now: "05:00:10",
      more: { running: true },
      decided: ["05 fired after-running"],
    },
    {
      title: "queue one: the run that waits already stands for it",
      overlap: "queue-one",
      missed: "once",
      now: "05:00:10",
      more: { running: true, queued: "s@2026-11-22T03:00:00Z" },
      decided: ["05 merged 03"],
    },
    {
      title: "queue one: also when nothing runs any more, as the one that waits is next",
      overlap: "queue-one",
      missed: "once",
      now: "05:00:10",
      more: { queued: "s@2026-11-22T03:00:00Z" },
      decided: ["05 merged 03"],
    },
    {
      title: "allow: runs start beside each other",
      overlap: "allow",
      missed: { all: 9 },
      now: "06:00:10",
      more: { running: true },
      decided: ["05 late now", "06 fired now"],
    },
    {
      title: "paused: nothing starts",
      overlap: "allow",
      missed: { all: 9 },
      now: "06:00:10",
      more: { paused: true },
      decided: ["05 skipped paused", "06 skipped paused"],
    },
    {
      title: "nothing is due",
      overlap: "skip",
      missed: "once",
      now: "04:59:59",
      decided: [],
    },
  ])("$title", ({ overlap, missed, now, more, decided }) => {
    const { slots, decidedUntil } = decideSlots(
      hourly(overlap, missed),
      state("04:30:00", now, more),
    );
    expect(inShort(slots)).toEqual(decided);
    expect(decidedUntil).toEqual(clock(now));
  });

  test("gives each refusal a reason", () => {
    const { slots } = decideSlots(hourly("skip", { all: 1 }), state("04:30:00", "06:30:00"));
    expect(slots[0]).toEqual({
      id: "s@2026-11-22T05:00:00Z",
      at: clock("05:00:00"),
      decision: "missed",
      code: "too_many_missed",
      reason: "no hub decided within 60 s, and only the newest 1 are started late",
    });
  });

  test.for([0, -1, 1.5])("refuses the limit %d, which would skip slots", (limit) => {
    const given = state("04:30:00", "05:30:00");
    expect(() => decideSlots(hourly("skip", "once"), given, { limit })).toThrow("limit must be");
  });

  test("never goes back when the clock does", () => {
    const { slots, decidedUntil } = decideSlots(
      hourly("skip", "once"),
      state("05:30:00", "04:30:00"),
    );
    expect(slots).toEqual([]);
    expect(decidedUntil).toEqual(clock("05:30:00"));
  });

  const schedules = fc
    .record({
      expression: fc.constantFrom("0 * * * *", "*/20 * * * *", "*/5 * * * *", "30 2 * * *"),
      overlap: fc.constantFrom<OverlapPolicy>("skip", "queue-one", "allow"),
      missed: fc.oneof(
        fc.constantFrom<MissedPolicy>("skip", "once"),
        fc.integer({ min: 1, max: 12 }).map((all) => ({ all })),
      ),
      grace: fc.constantFrom("1s", "1m", "50m" as const),
    })
    .map(({ expression, ...policies }) =>
      cron(expression, { timeZone: "Europe/Paris", ...policies }),
    );
  const states = fc.record({
    id: fc.constant("s"),
    decidedUntil: fc.constant(clock("00:00:00")),
    now: fc.integer({ min: 0, max: 6 * 3_600_000 }).map((ms) => new Date(+clock("00:00:00") + ms)),
    running: fc.boolean(),
    queued: fc.constantFrom(null, "s@2026-11-21T23:00:00Z"),
    paused: fc.boolean(),
  });

  test("decides about every due slot once, in order, and starts no more than it may", () => {
    fc.assert(
      fc.property(schedules, states, (schedule, given) => {
        const { slots } = decideSlots(schedule, given, { limit: 5_000 });
        const due = dueSlots(schedule, given.decidedUntil, given.now, { limit: 5_000 });
        expect(slots.map(({ id }) => id)).toEqual(due.map((at) => slotId("s", at)));

        const runs = slots.filter(({ decision }) => decision === "fired" || decision === "late");
        const caughtUp = slots.filter(({ decision }) => decision === "late").length;
        const { missed, overlap } = schedule;
        if (given.paused) expect(runs).toEqual([]);
        expect(caughtUp).toBeLessThanOrEqual(
          missed === "skip" ? 0 : missed === "once" ? 1 : missed.all,
        );
        const inUse = (given.running ? 1 : 0) + (given.queued === null ? 0 : 1);
        if (overlap === "skip") expect(runs.length).toBeLessThanOrEqual(Math.max(0, 1 - inUse));
        if (overlap === "queue-one")
          expect(runs.length).toBeLessThanOrEqual(Math.max(0, 2 - inUse));

        // The slot that another is merged into has a decision of its own.
        const known = new Set([given.queued, ...slots.map(({ id }) => id)]);
        for (const slot of slots) {
          if (slot.decision === "merged") expect(known).toContain(slot.into);
        }
      }),
      { numRuns: 300 },
    );
  });

  test("gives the same result in batches of any size if runs are independent", () => {
    const free = schedules.filter(({ overlap }) => overlap === "allow");
    const limits = fc.integer({ min: 1, max: 40 });
    fc.assert(
      fc.property(free, states, limits, (schedule, given, limit) => {
        const whole = decideSlots(schedule, given, { limit: 5_000 });
        const slots: DecidedSlot[] = [];
        let { decidedUntil } = given;
        do {
          const batch = decideSlots(schedule, { ...given, decidedUntil }, { limit });
          expect(batch.slots.length).toBeLessThanOrEqual(limit);
          slots.push(...batch.slots);
          ({ decidedUntil } = batch);
        } while (decidedUntil < whole.decidedUntil);
        // In batches, a slot may be merged into one that is itself merged.
        const decisions = (decided: readonly DecidedSlot[]) =>
          decided.map(({ id, decision }) => `${id} ${decision}`);
        expect(decisions(slots)).toEqual(decisions(whole.slots));
      }),
      { numRuns: 150 },
    );
  });
});
