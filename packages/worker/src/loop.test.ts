import { QueueAccessError, QueueUnavailableError } from "@loom/queue";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { recordLog } from "../test/recorded-log.ts";
import { pollDelayMs, reconnectDelayMs, repeat, slowestMsFor } from "./loop.ts";

const unavailable = () => new QueueUnavailableError("loom_hello", "network", "refused");

describe("repeat", () => {
  test("pauses after each round until the signal aborts", async () => {
    const stop = new AbortController();
    const seen: string[] = [];
    await repeat(
      {
        round: async () => void seen.push("round"),
        pause: async () => {
          seen.push("pause");
          if (seen.length === 4) stop.abort();
        },
      },
      { signal: stop.signal, log: recordLog() },
    );
    expect(seen).toEqual(["round", "pause", "round", "pause"]);
  });

  test("tries again when the database did not answer, at most as slowly as it may", async () => {
    vi.useFakeTimers();
    onTestFinished(() => {
      vi.useRealTimers();
    });
    const stop = new AbortController();
    const log = recordLog();
    let calls = 0;
    const done = repeat(
      {
        round: async () => {
          calls += 1;
          if (calls <= 20) throw unavailable();
        },
        pause: async () => stop.abort(),
      },
      { signal: stop.signal, log, maxDelayMs: 1_000 },
    );
    await vi.advanceTimersByTimeAsync(20 * 1_000);
    await done;
    expect(calls).toBe(21);
    expect(log.lines.at(-1)).toMatchObject({ level: "info", facts: { failures: 20 } });
  });

  test("throws errors that a retry cannot fix", async () => {
    const { signal } = new AbortController();
    const refused = new QueueAccessError("loom_hello", "wrong key");
    const round = () => Promise.reject(refused);
    const done = repeat({ round, pause: async () => {} }, { signal, log: recordLog() });
    await expect(done).rejects.toBe(refused);
  });

  test("ends at once when the signal aborts between two tries", async () => {
    const stop = new AbortController();
    const round = async () => {
      setImmediate(() => stop.abort());
      throw unavailable();
    };
    await repeat({ round, pause: async () => {} }, { signal: stop.signal, log: recordLog() });
    expect(stop.signal.aborted).toBe(true);
  });
});

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

  test("is longer while it waits for a person", () => {
    expect(slowestMsFor({ advice: undefined })).toBe(15_000);
    expect(slowestMsFor({ advice: "restore the project" })).toBe(60_000);
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

describe("pollDelayMs", () => {
  const pace = { pollMs: 5_000, maxPollMs: 10_000 };

  test("begins at the floor, and grows to the ceiling", () => {
    const delays = [0, 1, 2, 3, 10_000].map((emptyPolls) =>
      pollDelayMs(emptyPolls, { ...pace, random: () => 0.5 }),
    );
    expect(delays).toEqual([5_000, 7_500, 10_000, 10_000, 10_000]);
  });

  test("differs by a quarter from node to node", () => {
    const at = (random: number) => pollDelayMs(0, { ...pace, random: () => random });
    expect([at(0), at(1)]).toEqual([3_750, 6_250]);
  });
});
