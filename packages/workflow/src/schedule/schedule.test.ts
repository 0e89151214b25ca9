import { describe, expect, test } from "vitest";
import { WorkflowDefinitionError } from "../errors.ts";
import { type CronOptions, cron } from "./schedule.ts";

describe("cron", () => {
  test("leaves nothing to default", () => {
    expect(cron("0 4 * * *")).toEqual({
      expression: "0 4 * * *",
      timeZone: "UTC",
      input: {},
      overlap: "skip",
      missed: "once",
      graceMs: 60_000,
    });
  });

  test("keeps its options", () => {
    const options = {
      timeZone: "Europe/Paris",
      input: { ref: "main" },
      overlap: "queue-one",
      missed: { all: 24 },
    } as const;
    expect(cron("@daily", { ...options, grace: "15m" })).toEqual({
      ...options,
      expression: "@daily",
      graceMs: 900_000,
    });
  });

  test.for(["0 0 29 2 *", "15 30 4 * * *", "0 0 30 2 1"])("accepts %j", (expression) => {
    expect(cron(expression).expression).toBe(expression);
  });

  test.for([
    { title: "too few fields", expression: "0 4 * *", problem: "five fields" },
    { title: "a minute that no hour has", expression: "61 * * * *", problem: "minute" },
    { title: "a day that never comes", expression: "0 0 31 2 *", problem: "never matches" },
  ])("refuses $title", ({ expression, problem }) => {
    expect(() => cron(expression)).toThrow(WorkflowDefinitionError);
    expect(() => cron(expression)).toThrow(problem);
  });

  test.for<{ options: Record<string, unknown>; problem: string }>([
    { options: { timeZone: "Mars/Base" }, problem: "is not a time zone" },
    { options: { timeZone: "" }, problem: "is not a time zone" },
    { options: { overlap: "queue" }, problem: 'overlap must be "skip", "queue-one", "allow"' },
    { options: { missed: "all" }, problem: 'missed must be "skip", "once" or { all: 1 to 100 }' },
    { options: { missed: { all: 0 } }, problem: "missed must be" },
    { options: { missed: { all: 101 } }, problem: "missed must be" },
    { options: { missed: null }, problem: "missed must be" },
    { options: { grace: "0s" }, problem: "grace must be above 0" },
    { options: { grace: "soon" }, problem: "is not a duration" },
  ])("refuses $options", ({ options, problem }) => {
    // Values that a definition in plain JavaScript can have.
    const untyped = options as CronOptions;
    expect(() => cron("0 4 * * *", untyped)).toThrow(WorkflowDefinitionError);
    expect(() => cron("0 4 * * *", untyped)).toThrow(problem);
  });
});
