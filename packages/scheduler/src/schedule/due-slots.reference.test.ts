import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { dueSlots } from "./due-slots.ts";

// A slow reference implementation that shares nothing with the fast one: no croner, no offsets, no
// search. It reads a clock with `Intl.DateTimeFormat` every minute (or second), and compares every
// reading with a pattern that it parses itself.

const ZONES = [
  "UTC",
  "Europe/Paris",
  "Europe/London",
  "America/New_York",
  "America/Santiago", // jumps at midnight
  "America/Sao_Paulo", // without daylight saving since 2019
  "America/Nuuk", // jumps from 23:00 to midnight
  "Africa/Casablanca", // changes around Ramadan, five weeks apart
  "Asia/Kathmandu", // +05:45
  "Australia/Lord_Howe", // changes by half an hour
  "Pacific/Apia",
];
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const FROM = Date.UTC(2024, 0, 1);
const TO = Date.UTC(2031, 0, 1);

/** Returns the clock readings of a zone, in milliseconds as if they were UTC. */
function clockOf(timeZone: string): (instant: number) => number {
  const format = new Intl.DateTimeFormat("sv-SE", {
    timeZone,
    dateStyle: "short",
    timeStyle: "medium",
  });
  return (instant) => Date.parse(`${format.format(instant).replace(" ", "T")}Z`);
}

/** The values of a field without L, W and #. */
function valuesOf(field: string, first: number, last: number): Set<number> {
  const values = new Set<number>();
  for (const part of field.split(",")) {
    const [range = "", step = "1"] = part.split("/");
    const [low = "", high = low] = range === "*" ? [`${first}`, `${last}`] : range.split("-");
    for (let value = Number(low); value <= Number(high); value += Number(step)) values.add(value);
  }
  return values;
}

interface ReferencePattern {
  /** Whether each reading has to come once a day. */
  calendar: boolean;
  matches(reading: number): boolean;
}

function readPattern(expression: string): ReferencePattern {
  const written = expression.split(" ");
  const [s = "", m = "", h = "", dom = "", month = "", dow = ""] =
    written.length === 5 ? ["0", ...written] : written;
  const seconds = valuesOf(s, 0, 59);
  const minutes = valuesOf(m, 0, 59);
  const hours = valuesOf(h, 0, 23);
  const months = valuesOf(month, 1, 12);
  const days = valuesOf(dom, 1, 31);
  const weekdays = new Set([...valuesOf(dow, 0, 7)].map((day) => day % 7));
  const onDay = (date: Date) => {
    const byDay = days.has(date.getUTCDate());
    const byWeekday = weekdays.has(date.getUTCDay());
    return dom !== "*" && dow !== "*" ? byDay || byWeekday : byDay && byWeekday;
  };
  return {
    calendar: ![s, m, h].join().includes("*") || seconds.size * minutes.size * hours.size === 1,
    matches(reading) {
      const date = new Date(reading);
      return (
        minutes.has(date.getUTCMinutes()) &&
        hours.has(date.getUTCHours()) &&
        seconds.has(date.getUTCSeconds()) &&
        months.has(date.getUTCMonth() + 1) &&
        onDay(date)
      );
    },
  };
}

/** A period with the clock's reading at every step, starting two days before it. */
interface Window {
  zone: string;
  from: number;
  to: number;
  stepMs: number;
  /** The first reading, and then one every `stepMs` after `from`, up to `to`. */
  readings: number[];
  /** The highest reading of the two days up to `from`. */
  reached: number;
}

function windowOf(zone: string, from: number, to: number, stepMs: number): Window {
  const clock = clockOf(zone);
  let reached = clock(from);
  for (let at = from - 2 * DAY_MS; at < from; at += 15 * MINUTE_MS) {
    // Clocks of these years are set by multiples of a quarter of an hour.
    for (const end of [at, at + 15 * MINUTE_MS - stepMs]) reached = Math.max(reached, clock(end));
  }
  const readings: number[] = [];
  for (let at = from + stepMs; at <= to; at += stepMs) readings.push(clock(at));
  return { zone, from, to, stepMs, readings, reached };
}

/**
 * A slot of the calendar is when the clock first reaches a reading. A slot of elapsed time is
 * whenever the clock shows it.
 */
function slotsIn({ from, stepMs, readings, ...window }: Window, expression: string): string[] {
  const pattern = readPattern(expression);
  let reached = window.reached;
  const slots: string[] = [];
  for (const [index, reading] of readings.entries()) {
    let due = false;
    if (pattern.calendar) {
      for (; reached < reading; reached += stepMs) due ||= pattern.matches(reached + stepMs);
    } else {
      due = pattern.matches(reading);
    }
    if (due) slots.push(new Date(from + (index + 1) * stepMs).toISOString());
  }
  return slots;
}

function fastSlots({ zone, from, to }: Window, expression: string): string[] {
  const timing = { expression, timeZone: zone };
  const slots = dueSlots(timing, new Date(from), new Date(to), { limit: 1_000_000 });
  return slots.map((slot) => slot.toISOString());
}

/** Joined to one text, because comparing thousands of items one by one takes seconds. */
const lines = (slots: string[]): string => slots.join("\n");

/** Returns the days on which a zone's clocks change: those with another offset at their end. */
function changeDays(zone: string): number[] {
  const clock = clockOf(zone);
  const days: number[] = [];
  for (let day = FROM; day < TO; day += DAY_MS) {
    if (clock(day + DAY_MS) - clock(day) !== DAY_MS) days.push(day);
  }
  return days;
}

/** Returns the time before and after the change on a day. */
function around({ zone, day }: { zone: string; day: number }, ms: number, stepMs: number): Window {
  const clock = clockOf(zone);
  let change = day;
  while (clock(change) - change === clock(day) - day) change += 15 * MINUTE_MS;
  return windowOf(zone, change - ms, change + ms, stepMs);
}

const changes = ZONES.flatMap((zone) => changeDays(zone).map((day) => ({ zone, day })));
const aroundChanges = changes.map(({ zone, day }) =>
  windowOf(zone, day - DAY_MS, day + 2 * DAY_MS, MINUTE_MS),
);

const EXPRESSIONS = [
  "30 2 * * *",
  "0,30 2 * * *",
  "15 1-3 * * *",
  "0 0 * * *",
  "30 0 * * *",
  "59 23 * * *",
  "*/60 2 * * *",
  "0 */24 * * *",
  "0-59 1-2 * * *",
  "45 1,2 * * 0",
  "0 2 13 * 0",
  "0 0-23 * * *",
  "* * * * *",
  "*/30 * * * *",
  "*/7 * * * *",
  "0 */2 * * *",
  "*/15 2 * * *",
  "*/20 0,23 * * 0,1,6",
];

describe("dueSlots, compared with the slow implementation", { timeout: 60_000 }, () => {
  test("has a test for every clock change from 2024 to 2030", () => {
    const count = (zone: string) => changes.filter((change) => change.zone === zone).length;
    // Twice a year, by the rules of the Union.
    expect(count("Europe/Paris")).toBe(14);
    expect(count("UTC")).toBe(0);
    expect(changes.length).toBeGreaterThan(80);
  });

  test.for(EXPRESSIONS)("%s: minute by minute around every change", (expression) => {
    for (const window of aroundChanges) {
      expect(lines(fastSlots(window, expression)), window.zone).toBe(
        lines(slotsIn(window, expression)),
      );
    }
  });

  test.for(ZONES)("every half hour of the years in %s", (zone) => {
    // Starts when the clocks show a full or half hour.
    const from = FROM - (clockOf(zone)(FROM) % (30 * MINUTE_MS));
    const window = windowOf(zone, from, TO, 30 * MINUTE_MS);
    for (const expression of [
      "30 2 * * *",
      "0 0 29 2 *",
      "30 1 13 * 5",
      "0 0 1-7 */3 1",
      "0 */6 * * *",
    ]) {
      expect(fastSlots(window, expression), expression).toEqual(slotsIn(window, expression));
    }
  });

  test("second by second around a change forth and a change back of every zone", () => {
    const oneOfEach = ZONES.flatMap((zone) =>
      changes.filter((each) => each.zone === zone).slice(0, 2),
    );
    for (const change of oneOfEach) {
      const window = around(change, 1.6 * HOUR_MS, 1_000);
      for (const expression of ["*/20 * * * * *", "59 59 * * * *", "59,0 59,0 0-23 * * *"]) {
        expect(fastSlots(window, expression), change.zone).toEqual(slotsIn(window, expression));
      }
    }
  });

  test("random patterns, from a random moment around every change", () => {
    const windows = changes.map((change) => around(change, 6 * HOUR_MS, MINUTE_MS));
    const later = fc.integer({ min: 0, max: 8 * HOUR_MS });
    fc.assert(
      fc.property(expressions, fc.constantFrom(...windows), later, (expression, window, ms) => {
        const from = window.from + ms;
        const slots = slotsIn(window, expression).filter((slot) => Date.parse(slot) > from);
        expect(lines(fastSlots({ ...window, from }, expression))).toBe(lines(slots));
      }),
      { numRuns: 2_500 },
    );
  });
});

/**
 * Expressions that both readers support. Days and months are mostly open, or there would be few
 * slots.
 */
const expressions = fc
  .tuple(
    fieldOf(0, 59),
    fieldOf(0, 23),
    mostlyOpen(fieldOf(1, 31)),
    mostlyOpen(fieldOf(1, 12)),
    mostlyOpen(fieldOf(0, 7)),
  )
  .map((fields) => fields.join(" "));

function mostlyOpen(field: fc.Arbitrary<string>): fc.Arbitrary<string> {
  return fc.oneof({ weight: 3, arbitrary: fc.constant("*") }, { weight: 1, arbitrary: field });
}

function fieldOf(first: number, last: number): fc.Arbitrary<string> {
  const value = fc.integer({ min: first, max: last });
  const step = fc.integer({ min: 1, max: last });
  const range = fc
    .tuple(value, value)
    .map(([one, other]) => `${Math.min(one, other)}-${Math.max(one, other)}`);
  const part = fc.oneof(
    value.map(String),
    range,
    fc.constant("*"),
    step.map((by) => `*/${by}`),
    fc.tuple(range, step).map(([between, by]) => `${between}/${by}`),
  );
  return fc.array(part, { minLength: 1, maxLength: 3 }).map((parts) => parts.join());
}
