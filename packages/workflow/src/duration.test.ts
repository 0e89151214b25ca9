import { describe, expect, test } from "vitest";
import { InvalidDurationError, parseDuration, positiveMs } from "./duration.ts";

describe("parseDuration", () => {
  test.for([
    ["250ms", 250],
    ["0s", 0],
    ["90s", 90_000],
    ["15m", 900_000],
    ["2h", 7_200_000],
    ["30d", 2_592_000_000],
  ] as const)("reads %s as %i ms", ([text, ms]) => {
    expect(parseDuration(text)).toBe(ms);
  });

  test.for(["", "15", "m", "1.5h", "-1s", "+1s", "1 s", " 1s", "1s ", "1m30s", "1w", "1S", "1e3s"])(
    "refuses %j and names what it accepts",
    (text) => {
      expect(() => parseDuration(text)).toThrow(InvalidDurationError);
      expect(() => parseDuration(text)).toThrow(`${JSON.stringify(text)} is not a duration`);
      expect(() => parseDuration(text)).toThrow("ms, s, m, h, d");
    },
  );
});

describe("positiveMs", () => {
  test("accepts what a timer can wait", () => {
    expect(positiveMs("timeout", "24d")).toBe(2_073_600_000);
  });

  test("refuses zero, naming the option", () => {
    expect(() => positiveMs("timeout", "0s")).toThrow('timeout must be above 0, not "0s"');
  });

  // setTimeout fires at once when its delay does not fit 32 bits.
  test("refuses what no timer can wait", () => {
    expect(() => positiveMs("timeout", "25d")).toThrow('timeout must be at most "24d"');
  });
});
