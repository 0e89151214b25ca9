import { describe, expect, test } from "vitest";
import { formatClock, formatMoment } from "./moment.ts";

const DAY_MS = 86_400_000;
// Noon, so that some hours before and after are the same day everywhere that tests run.
const now = new Date(2026, 10, 30, 12).getTime();
const after = (ms: number) => new Date(now + ms).toISOString();
const weekday = new Intl.DateTimeFormat(undefined, { weekday: "short" });
const weekdays = [0, 1, 2, 3, 4, 5, 6].map((days) => weekday.format(now + days * DAY_MS));

describe("a moment", () => {
  test.for([
    { days: 1 / 24, has: "the time" },
    { days: -1 / 24, has: "the time" },
    { days: 1, has: "the weekday" },
    { days: -6, has: "the weekday" },
    { days: 6, has: "the weekday" },
    { days: 7, has: "the date" },
    { days: 50, has: "the date" },
    { days: -30, has: "the date" },
  ])("that is $days days off has $has", ({ days, has }) => {
    const at = after(days * DAY_MS);
    for (const format of [formatMoment, formatClock]) {
      const text = format(at, now);
      const day = weekdays.find((each) => text.includes(each));
      expect(day).toBe(has === "the weekday" ? weekday.format(new Date(at)) : undefined);
      expect(text.includes(at.slice(0, 4))).toBe(has === "the date");
      expect(text).toMatch(/\d[:.]\d\d/);
    }
  });
});
