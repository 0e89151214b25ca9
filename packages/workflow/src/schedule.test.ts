import { describe, expect, test } from "vitest";
import { WorkflowDefinitionError } from "./errors.ts";
import { cron } from "./schedule.ts";

describe("cron", () => {
  test("keeps the expression, with UTC and an empty input by default", () => {
    expect(cron("0 4 * * *")).toEqual({ expression: "0 4 * * *", timeZone: "UTC", input: {} });
  });

  test("keeps zone and input", () => {
    const schedule = cron("@daily", { timeZone: "Europe/Paris", input: { ref: "main" } });
    expect(schedule).toMatchObject({ timeZone: "Europe/Paris", input: { ref: "main" } });
  });

  test("accepts a day that is rare", () => {
    expect(cron("0 0 29 2 *").expression).toBe("0 0 29 2 *");
  });

  test.for([
    { title: "too few fields", expression: "0 4 * *", problem: "five fields" },
    { title: "seconds", expression: "0 0 4 * * *", problem: "five fields" },
    { title: "a minute that no hour has", expression: "61 * * * *", problem: "minute" },
    { title: "a date", expression: "2027-01-01T00:00:00", problem: "it is a date" },
    { title: "nothing", expression: "", problem: "five fields" },
    { title: "a day that never comes", expression: "0 0 31 2 *", problem: "never matches" },
  ])("refuses $title", ({ expression, problem }) => {
    expect(() => cron(expression)).toThrow(WorkflowDefinitionError);
    expect(() => cron(expression)).toThrow(problem);
  });

  test.for(["Mars/Base", ""])("refuses the zone %j", (timeZone) => {
    expect(() => cron("0 4 * * *", { timeZone })).toThrow(WorkflowDefinitionError);
    expect(() => cron("0 4 * * *", { timeZone })).toThrow("is not a time zone");
  });
});
