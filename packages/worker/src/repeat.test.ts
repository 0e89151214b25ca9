import { QueueAccessError, QueueUnavailableError } from "@loom/queue";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { recordLog } from "../test/recorded-log.ts";
import { repeat } from "./repeat.ts";

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

  test("throws what trying again cannot help", async () => {
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
