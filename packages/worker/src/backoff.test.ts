import { describe, expect, test } from "vitest";
import { reconnectDelayMs } from "./backoff.ts";

const least = () => 0;
const most = () => 1;

describe("reconnectDelayMs", () => {
  test.for([
    { failures: 1, from: 125, to: 250 },
    { failures: 2, from: 250, to: 500 },
    { failures: 6, from: 4_000, to: 8_000 },
    { failures: 7, from: 7_500, to: 15_000 },
    { failures: 5_000, from: 7_500, to: 15_000 },
  ])("is $from to $to ms after $failures failures", ({ failures, from, to }) => {
    expect(reconnectDelayMs(failures, { random: least })).toBe(from);
    expect(reconnectDelayMs(failures, { random: most })).toBe(to);
  });

  test("is never longer than its caller allows", () => {
    expect(reconnectDelayMs(50, { maxMs: 1_000, random: most })).toBe(1_000);
  });

  test("is not the same for all", () => {
    expect(new Set(Array.from({ length: 20 }, () => reconnectDelayMs(3))).size).toBeGreaterThan(1);
  });
});
