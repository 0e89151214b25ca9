import { describe, expect, test } from "vitest";
import { reconnectDelayMs } from "./backoff.ts";

const least = () => 0;
const most = () => 1;

describe("reconnectDelayMs", () => {
  test.for([
    { failures: 1, to: 250 },
    { failures: 2, to: 500 },
    { failures: 6, to: 8_000 },
    { failures: 7, to: 15_000 },
    { failures: 5_000, to: 15_000 },
  ])("is up to $to ms after $failures failures", ({ failures, to }) => {
    expect(reconnectDelayMs(failures, { random: least })).toBe(0);
    expect(reconnectDelayMs(failures, { random: most })).toBe(to);
  });

  test("is never longer than its caller allows", () => {
    expect(reconnectDelayMs(50, { maxMs: 1_000, random: most })).toBe(1_000);
  });

  // Calls of 1 000 agents that lose the database at one moment, for five minutes.
  test("does not let many agents come back together", () => {
    const agents = 1_000;
    const backAt = 300_000;
    const callsAt = Array.from({ length: agents }, () => {
      const times = [0];
      for (let at = 0, failures = 1; at < backAt; failures += 1) {
        at += reconnectDelayMs(failures);
        times.push(at);
      }
      return times;
    });
    const perSecond = new Map<number, number>();
    for (const at of callsAt.flat()) {
      const second = Math.floor(at / 1_000);
      perSecond.set(second, (perSecond.get(second) ?? 0) + 1);
    }
    const whileAway = [...perSecond].filter(([second]) => second >= 15 && second < 300);
    const whenBack = [...perSecond].filter(([second]) => second >= 300);
    // 1 000 calls every 7.5 s on average: 133 a second.
    expect(Math.max(...whileAway.map(([, calls]) => calls))).toBeLessThan(250);
    expect(Math.max(...whenBack.map(([, calls]) => calls))).toBeLessThan(250);
    // And all are back within the longest delay.
    expect(whenBack.reduce((sum, [, calls]) => sum + calls, 0)).toBe(agents);
    expect(Math.max(...callsAt.flat())).toBeLessThanOrEqual(backAt + 15_000);
  });
});
