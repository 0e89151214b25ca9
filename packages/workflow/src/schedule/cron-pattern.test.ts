import { describe, expect, test } from "vitest";
import { InvalidScheduleError, parseCron } from "./cron-pattern.ts";

/** Returns the matches after a reading, as the clock shows them. */
function readings(expression: string, after: string, count: number): string[] {
  const pattern = parseCron(expression);
  const found: string[] = [];
  for (let reading = Date.parse(`${after}Z`); found.length < count; ) {
    const next = pattern.next(reading);
    if (next === null) break;
    found.push(new Date(next).toISOString().slice(0, 19));
    reading = next;
  }
  return found;
}

describe("parseCron", () => {
  test("finds the matches strictly after a reading, in order", () => {
    expect(readings("30 4 * * *", "2026-01-01T04:30:00", 2)).toEqual([
      "2026-01-02T04:30:00",
      "2026-01-03T04:30:00",
    ]);
    expect(readings("*/20 * * * * *", "2026-01-01T00:00:00", 3)).toEqual([
      "2026-01-01T00:00:20",
      "2026-01-01T00:00:40",
      "2026-01-01T00:01:00",
    ]);
  });

  // 2026-02-13 is a Friday.
  test.for([
    { title: "either of two restricted days", expression: "0 0 13 * 5", days: [6, 13, 20, 27] },
    { title: "a restricted day of week alone", expression: "0 0 * * 5", days: [6, 13, 20, 27] },
    { title: "a restricted day of month alone", expression: "0 0 13 * *", days: [13] },
    {
      title: "a day of week besides a step",
      expression: "0 0 */10 2 5",
      days: [6, 11, 13, 20, 21, 27],
    },
    { title: "the last day", expression: "0 0 L 2 *", days: [28] },
    { title: "the second Friday", expression: "0 0 * 2 FRI#2", days: [13] },
    { title: "the last Friday", expression: "0 0 * 2 5L", days: [27] },
    { title: "the working day nearest the 15th", expression: "0 0 15W 2 *", days: [16] },
    { title: "both days if a plus requires both", expression: "0 0 6-14 2 +5", days: [6, 13] },
    { title: "Sunday as 7", expression: "0 0 * 2 7", days: [8, 15, 22] },
  ])("matches $title", ({ expression, days }) => {
    const february = days.map((day) => `2026-02-${String(day).padStart(2, "0")}T00:00:00`);
    expect(readings(expression, "2026-02-01T00:00:00", days.length)).toEqual(february);
  });

  test.for([
    ["@hourly", "0 * * * *"],
    ["@daily", "0 0 * * *"],
    ["@midnight", "0 0 * * *"],
    ["@weekly", "0 0 * * 0"],
    ["@monthly", "0 0 1 * *"],
    ["@yearly", "0 0 1 1 *"],
    ["@annually", "0 0 1 1 *"],
    [" \t0  4 * * * ", "0 4 * * *"],
  ] as const)("reads %j as %j", ([written, expression]) => {
    const from = "2026-03-03T03:03:03";
    expect(readings(written, from, 30)).toEqual(readings(expression, from, 30));
  });

  test.for(["0 0 31 2 *", "0 0 30 2 *", "0 0 31 4,6,9,11 *"])(
    "answers null for %j, which never comes",
    (expression) => {
      expect(parseCron(expression).next(0)).toBeNull();
    },
  );

  test.for([
    { expression: "30 2 * * *", follows: "calendar" },
    { expression: "0,30 2 * * *", follows: "calendar" },
    { expression: "15 1-3 * * *", follows: "calendar" },
    { expression: "0 0-22/2 * * *", follows: "calendar" },
    { expression: "0 0-23 * * *", follows: "calendar" },
    { expression: "0 */24 * * *", follows: "calendar" },
    { expression: "*/60 2 * * *", follows: "calendar" },
    { expression: "*/60 3 2 * * *", follows: "calendar" },
    { expression: "@daily", follows: "calendar" },
    { expression: "30 2 */2 */3 *", follows: "calendar" },
    { expression: "* * * * *", follows: "elapsed" },
    { expression: "*/15 2 * * *", follows: "elapsed" },
    { expression: "? 2 * * *", follows: "elapsed" },
    { expression: "0 */2 * * *", follows: "elapsed" },
    { expression: "0 5,*/12 * * *", follows: "elapsed" },
    { expression: "* 30 2 * * *", follows: "elapsed" },
    { expression: "@hourly", follows: "elapsed" },
  ])("$expression follows $follows time", ({ expression, follows }) => {
    expect(parseCron(expression).follows).toBe(follows);
  });

  test.for([
    { expression: "0 4 * *", problem: "it has 4 of five fields" },
    { expression: "0 0 4 * * * 2030", problem: "it has 7 of five fields" },
    { expression: "2027-01-01T00:00:00", problem: "it has 1 of five fields" },
    { expression: "", problem: "one line of at most 200 ASCII characters" },
    { expression: " ", problem: "fields" },
    { expression: "0 4 * * *\n0 5 * * *", problem: "one line" },
    { expression: "* ".repeat(101), problem: "at most 200" },
    { expression: "61 * * * *", problem: "61 cannot be the minute; write 0 to 59" },
    { expression: "60 0 0 * * *", problem: "60 cannot be the second" },
    { expression: "0 24 * * *", problem: "24 cannot be the hour; write 0 to 23" },
    { expression: "0 0 32 * *", problem: "32 cannot be the day of month; write 1 to 31" },
    { expression: "0 0 * 13 *", problem: "13 cannot be the month" },
    { expression: "0 0 * * MOO", problem: "MOO cannot be the day of week" },
    { expression: "1/5 * * * *", problem: "1/5 cannot be the minute" },
    { expression: "*/0 * * * *", problem: "*/0 cannot be the minute" },
    { expression: "@reboot", problem: "known are @hourly" },
    { expression: "@every 5m", problem: "known are @hourly" },
  ])("refuses $expression with the reason", ({ expression, problem }) => {
    expect(() => parseCron(expression)).toThrow(InvalidScheduleError);
    expect(() => parseCron(expression)).toThrow(problem);
  });
});
