import { InvalidScheduleError } from "@loom/workflow";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { dueSlots, nextSlot, slotId } from "./due-slots.ts";

/** Returns the clock readings of a zone, as in `2026-03-29 03:00`. */
function localTimes(slots: readonly Date[], timeZone: string): string[] {
  const format = new Intl.DateTimeFormat("sv-SE", {
    timeZone,
    dateStyle: "short",
    timeStyle: "short",
  });
  return slots.map((at) => format.format(at));
}

describe("dueSlots", () => {
  test.for([
    {
      title: "a time that is jumped over comes when the clocks have jumped",
      timing: { expression: "30 2 * * *", timeZone: "Europe/Paris" },
      from: "2026-03-28T12:00Z",
      to: "2026-03-30T12:00Z",
      slots: ["2026-03-29 03:00", "2026-03-30 02:30"],
    },
    {
      title: "times that are jumped over together come once",
      timing: { expression: "0,30 2,3 * * *", timeZone: "Europe/Paris" },
      from: "2026-03-28T12:00Z",
      to: "2026-03-29T12:00Z",
      slots: ["2026-03-29 03:00", "2026-03-29 03:30"],
    },
    {
      title: "a midnight that does not exist belongs to its day",
      timing: { expression: "@daily", timeZone: "America/Santiago" },
      from: "2026-09-05T12:00Z",
      to: "2026-09-07T12:00Z",
      slots: ["2026-09-06 01:00", "2026-09-07 00:00"],
    },
    {
      title: "a jump into the next day moves a time there",
      timing: { expression: "30 23 * * *", timeZone: "America/Nuuk" },
      from: "2026-03-28T12:00Z",
      to: "2026-03-30T12:00Z",
      slots: ["2026-03-29 00:00", "2026-03-29 23:30"],
    },
    {
      title: "the times of a day that a zone left out come at its end",
      timing: { expression: "0 9,17 * * *", timeZone: "Pacific/Apia" },
      from: "2011-12-30T02:00Z",
      to: "2011-12-31T08:00Z",
      slots: ["2011-12-29 17:00", "2011-12-31 00:00", "2011-12-31 09:00", "2011-12-31 17:00"],
    },
    {
      title: "a rhythm goes on across a jump",
      timing: { expression: "*/30 * * * *", timeZone: "Australia/Lord_Howe" },
      from: "2026-10-03T14:45Z",
      to: "2026-10-03T16:45Z",
      slots: ["2026-10-04 01:30", "2026-10-04 02:30", "2026-10-04 03:00", "2026-10-04 03:30"],
    },
    {
      title: "a rhythm leaves out what the clocks jump over",
      timing: { expression: "*/15 2 * * *", timeZone: "Europe/Paris" },
      from: "2026-03-28T12:00Z",
      to: "2026-03-29T12:00Z",
      slots: [],
    },
    {
      // Back on 15 February and forward on 22 March: a search with longer steps misses both.
      title: "a repeat is seen although its opposite follows five weeks later",
      timing: { expression: "*/30 2 15 2 *", timeZone: "Africa/Casablanca" },
      from: "2026-02-15T00:00Z",
      to: "2026-02-16T00:00Z",
      slots: ["2026-02-15 02:00", "2026-02-15 02:30", "2026-02-15 02:00", "2026-02-15 02:30"],
    },
  ])("$title", ({ timing, from, to, slots }) => {
    const due = dueSlots(timing, new Date(from), new Date(to));
    expect(localTimes(due, timing.timeZone)).toEqual(slots);
  });

  test.for([
    { expression: "30 2 * * *", slots: ["00:30"] },
    { expression: "0,30 2 * * *", slots: ["00:00", "00:30"] },
    { expression: "30 1-3 * * *", slots: ["23:30", "00:30", "02:30"] },
    { expression: "*/30 2 * * *", slots: ["00:00", "00:30", "01:00", "01:30"] },
    { expression: "0 * * * *", slots: ["00:00", "01:00", "02:00", "03:00"] },
  ])("$expression when 02:00 to 03:00 comes twice", ({ expression, slots }) => {
    const timing = { expression, timeZone: "Europe/Paris" };
    const due = dueSlots(timing, new Date("2026-10-24T23:00Z"), new Date("2026-10-25T03:00Z"));
    expect(due.map((at) => at.toISOString().slice(11, 16))).toEqual(slots);
  });

  test.for(["Europe/Paris", "America/Santiago", "Africa/Casablanca", "Australia/Lord_Howe"])(
    "a daily schedule comes once on every day of seven years in %s",
    (timeZone) => {
      const [from, to] = [new Date("2023-12-31T12:00Z"), new Date("2030-12-30T12:00Z")];
      for (const expression of [
        "0 0 * * *",
        "30 0 * * *",
        "15 2 * * *",
        "30 2 * * *",
        "0 3 * * *",
      ]) {
        const due = dueSlots({ expression, timeZone }, from, to, { limit: 3_000 });
        const days = localTimes(due, timeZone).map((time) => time.slice(0, 10));
        expect(days.length).toBe((to.getTime() - from.getTime()) / 86_400_000);
        expect(new Set(days).size).toBe(days.length);
      }
    },
  );

  test("leaves out `from` and includes `to`", () => {
    const timing = { expression: "0 * * * *", timeZone: "UTC" };
    const [one, two] = [new Date("2026-01-01T01:00Z"), new Date("2026-01-01T02:00Z")];
    expect(dueSlots(timing, one, two)).toEqual([two]);
    expect(dueSlots(timing, two, one)).toEqual([]);
    expect(dueSlots(timing, one, one)).toEqual([]);
  });

  test("gives the same slots in any number of parts", () => {
    const start = Date.parse("2026-10-24T22:00Z");
    const instants = fc.integer({ min: start, max: start + 8 * 3_600_000 });
    const timings = fc.record({
      expression: fc.constantFrom(
        "*/7 * * * *",
        "0-59/7 1-3 * * *",
        "30 2 * * *",
        "*/50 * * * * *",
      ),
      timeZone: fc.constantFrom("Europe/Paris", "UTC"),
    });
    fc.assert(
      fc.property(timings, fc.array(instants, { minLength: 3, maxLength: 5 }), (timing, asked) => {
        const cuts = asked.toSorted((a, b) => a - b).map((instant) => new Date(instant));
        const parts = cuts.slice(1).flatMap((to, index) => dueSlots(timing, cuts[index] ?? to, to));
        const [first = new Date(), last = new Date()] = [cuts[0], cuts.at(-1)];
        const whole = dueSlots(timing, first, last);
        expect(parts).toEqual(whole);
        expect(dueSlots(timing, first, last, { limit: 3 })).toEqual(whole.slice(0, 3));
      }),
      { numRuns: 100 },
    );
  });

  test.for([0, -1, 1.5, Number.NaN])("refuses the limit %d", (limit) => {
    const timing = { expression: "* * * * *", timeZone: "UTC" };
    expect(() => dueSlots(timing, new Date(0), new Date(1), { limit })).toThrow("limit must be");
  });

  test("refuses an invalid expression or zone", () => {
    const [at, invalid] = [new Date(0), new Date(Number.NaN)];
    const read = (expression: string, timeZone: string) => () =>
      dueSlots({ expression, timeZone }, at, at);
    expect(read("soon", "UTC")).toThrow(InvalidScheduleError);
    expect(read("@daily", "Mars/Base")).toThrow('"Mars/Base" is not a time zone');
    const timing = { expression: "@daily", timeZone: "UTC" };
    expect(() => dueSlots(timing, invalid, at)).toThrow("invalid Date");
    expect(() => dueSlots(timing, at, invalid)).toThrow("invalid Date");
  });
});

describe("nextSlot", () => {
  test("is strictly later, always", () => {
    const expressions = [
      "* * * * * *",
      "*/30 * * * *",
      "30 2 * * *",
      "0 0 29 2 *",
      "59 59 1 * * *",
    ];
    const zones = ["UTC", "Europe/Paris", "Australia/Lord_Howe", "America/Santiago", "Asia/Tehran"];
    const [min, max] = [new Date("1970-01-01"), new Date("2100-01-01")];
    fc.assert(
      fc.property(
        fc.constantFrom(...expressions),
        fc.constantFrom(...zones),
        fc.date({ min, max, noInvalidDate: true }),
        (expression, timeZone, after) => {
          const next = nextSlot({ expression, timeZone }, after);
          expect(next?.getTime()).toBeGreaterThan(after.getTime());
          const due = dueSlots({ expression, timeZone }, after, next ?? after);
          expect(due).toEqual([next]);
        },
      ),
      { numRuns: 300 },
    );
  });

  test("is null for a day that never comes", () => {
    expect(nextSlot({ expression: "0 0 31 2 *", timeZone: "UTC" }, new Date(0))).toBeNull();
  });

  test("is null at the end of time", () => {
    const end = new Date(8.64e15);
    expect(nextSlot({ expression: "* * * * * *", timeZone: "Europe/Paris" }, end)).toBeNull();
  });

  test("finds a leap day eight years away", () => {
    const timing = { expression: "0 0 29 2 *", timeZone: "America/New_York" };
    const next = nextSlot(timing, new Date("2096-03-01T00:00Z"));
    expect(next?.toISOString()).toBe("2104-02-29T05:00:00.000Z");
  });
});

describe("slotId", () => {
  test("is the schedule and the instant", () => {
    expect(slotId("publish", new Date("2026-11-22T03:00:00Z"))).toBe(
      "publish@2026-11-22T03:00:00Z",
    );
  });
});
