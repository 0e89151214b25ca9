import { type LogChunk, type Queue, QueueUnavailableError } from "@loom/queue";
import { beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { recordLog } from "../test/recorded-log.ts";
import { createAttemptLog } from "./attempt-log.ts";

type Answer = Awaited<ReturnType<Queue["appendLog"]>>;

/** An attempt's log, and what the queue has of it; `answers` go first, then all is accepted. */
function logging({
  limitBytes,
  answers = [],
}: {
  limitBytes?: number;
  answers?: (Answer | Error)[];
} = {}) {
  const kept = new Map<number, string>();
  const sizes: number[] = [];
  let isCalling = false;
  const queue = {
    async appendLog(_: unknown, chunks: readonly LogChunk[]): Promise<Answer> {
      if (isCalling) throw new Error("two calls at a time");
      isCalling = true;
      await Promise.resolve();
      isCalling = false;
      // An answer may be lost after the chunk was kept.
      for (const { start, chunk } of chunks) {
        if (!kept.has(start)) kept.set(start, chunk);
        sizes.push(Buffer.byteLength(chunk));
      }
      const answer = answers.shift() ?? "accepted";
      if (answer instanceof Error) throw answer;
      return answer;
    },
  };
  const giveUp = new AbortController();
  const log = recordLog();
  const output = createAttemptLog(
    { node: "forge", id: 7, fence: 2 },
    { queue, revalidate: async () => {}, giveUp: giveUp.signal, log },
    limitBytes,
  );
  const text = () => {
    let next = 0;
    return [...kept]
      .sort(([one], [other]) => one - other)
      .map(([start, chunk]) => {
        expect(start).toBe(next);
        next += Buffer.byteLength(chunk);
        return chunk;
      })
      .join("");
  };
  return { output, log, giveUp, sizes, text };
}

const unavailable = new QueueUnavailableError("loom_append_log", "network", "refused");

beforeEach(() => {
  vi.useFakeTimers();
  onTestFinished(() => {
    vi.useRealTimers();
  });
});

describe("an attempt's log", () => {
  test("arrives complete and in order, even when an answer was lost", async () => {
    const { output, text } = logging({ answers: [unavailable, "accepted", unavailable] });
    const lines = Array.from({ length: 20_000 }, (_, index) => `line ${index} é漢😀\n`);
    for (const [index, line] of lines.entries()) {
      output.write(line);
      if (index % 5_000 === 0) await vi.advanceTimersByTimeAsync(1_000);
    }
    const ended = output.end();
    await vi.runAllTimersAsync();
    await ended;
    expect(text()).toBe(lines.join(""));
    expect(output.unsent()).toEqual([]);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("is collected briefly, and sent before the attempt ends", async () => {
    const { output, sizes } = logging();
    for (let lines = 0; lines < 100; lines += 1) output.write("line\n");
    expect(sizes).toEqual([]);
    await vi.advanceTimersByTimeAsync(200);
    expect(sizes).toEqual([500]);
  });

  test("is sent in chunks that the queue accepts, and no character is cut", async () => {
    const { output, sizes, text } = logging();
    const whole = `a${"😀".repeat(200_000)}${"漢".repeat(200_000)}`;
    output.write(whole);
    await output.end();
    expect(text()).toBe(whole);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(262_144);
  });

  test.for([
    { title: "in one piece", pieces: 1 },
    { title: "in many", pieces: 1_000 },
  ])("keeps beginning and end of output over the limit, written $title", async ({ pieces }) => {
    const limitBytes = 40_000;
    const { output, text } = logging({ limitBytes });
    const whole = Array.from({ length: 20_000 }, (_, index) => `${index} é\n`).join("");
    const size = Math.ceil(whole.length / pieces);
    for (let at = 0; at < whole.length; at += size) output.write(whole.slice(at, at + size));
    await output.end();
    const [, beginning = "", leftOut, end = ""] =
      /^(.*)\n… (\d+) bytes are left out here …\n(.*)$/s.exec(text()) ?? [];
    expect(whole.startsWith(beginning)).toBe(true);
    expect(whole.endsWith(end)).toBe(true);
    expect(Buffer.byteLength(text())).toBeLessThanOrEqual(limitBytes);
    expect(Buffer.byteLength(end)).toBeGreaterThan(9_900);
    expect(Buffer.byteLength(beginning + end) + Number(leftOut)).toBe(Buffer.byteLength(whole));
  });

  test("is complete when it has exactly the allowed size", async () => {
    const { output, text } = logging({ limitBytes: 40_000 });
    const whole = "x".repeat(39_800);
    output.write(whole);
    await output.end();
    expect(text()).toBe(whole);
  });

  test.for<Answer | Error>(["stale", "unknown", "too_large", new Error("no such function")])(
    "stops once when it is refused: %s",
    async (answer) => {
      const { output, log, sizes } = logging({ answers: [answer] });
      output.write("one");
      await output.end();
      output.write("two");
      await output.end();
      expect(sizes).toHaveLength(1);
      expect(log.lines).toMatchObject([{ level: "warn" }]);
    },
  );

  test("reports the unconfirmed output when it has to give up", async () => {
    const { output, giveUp } = logging({ answers: Array.from({ length: 50 }, () => unavailable) });
    output.write("first\n");
    await vi.advanceTimersByTimeAsync(5_000);
    output.write("second\n");
    const ended = output.end();
    giveUp.abort();
    await ended;
    expect(output.unsent()).toEqual([
      { start: 0, chunk: "first\n" },
      { start: 6, chunk: "second\n" },
    ]);
    expect(vi.getTimerCount()).toBe(0);
  });
});
