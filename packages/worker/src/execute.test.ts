import { getEventListeners } from "node:events";
import { setImmediate } from "node:timers/promises";
import type { ClaimedJob } from "@loom/queue";
import { defineWorkflow, type Step, type StepContext } from "@loom/workflow";
import { beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { recordLog } from "../test/recorded-log.ts";
import { LeaseLostError, ShutdownError } from "./errors.ts";
import { execute } from "./execute.ts";
import { createInlineRunner } from "./inline-runner.ts";

const job: ClaimedJob = {
  id: 7,
  fence: 2,
  runId: "run-1",
  workflow: "deploy",
  version: "v1",
  step: "build",
  requires: [],
  attempt: 3,
  maxAttempts: 5,
  timeoutMs: 60_000,
  traceparent: null,
  input: { ref: "main" },
  results: { fetch: { files: 2 } },
};

/** Executes a run function as a step, with what a test needs to look at. */
function executing(run: (context: StepContext) => unknown) {
  const [step] = defineWorkflow({ name: "deploy" }).step("build", {}, run as Step["run"]).steps;
  if (!step) throw new Error("the workflow has no step");
  const stop = new AbortController();
  const log = recordLog();
  const output: string[] = [];
  const attempt = execute(createInlineRunner(), {
    job,
    step,
    node: "forge",
    signal: stop.signal,
    write: (text) => void output.push(text),
    onStarted: () => {},
    onProgress: () => {},
    log,
  });
  return { stop, log, output, ...attempt };
}

/** Rejects when the signal aborts, as fetch does: with an error of its own. */
const untilAborted = (signal: AbortSignal) =>
  new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(new DOMException("aborted", "AbortError")));
  });

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  onTestFinished(() => {
    vi.useRealTimers();
  });
});

describe("execute", () => {
  test("gives the step its context and returns its result, with no timer left", async () => {
    const { outcome } = executing(
      async ({ input, results, attempt, node, run, step, workflow }) => ({
        ...{ input, results, attempt, node, run, step, workflow },
      }),
    );
    expect(await outcome).toEqual({
      outcome: "succeeded",
      result: {
        input: { ref: "main" },
        results: { fetch: { files: 2 } },
        attempt: 3,
        node: "forge",
        run: { id: "run-1" },
        step: "build",
        workflow: "deploy",
      },
    });
    expect(vi.getTimerCount()).toBe(0);
  });

  test("reads a step that returns nothing as null", async () => {
    expect(await executing(async () => {}).outcome).toEqual({ outcome: "succeeded", result: null });
  });

  test("keeps the result as it was when the step returned it", async () => {
    const list = [1];
    const outcome = await executing(async () => ({ list, at: new Date(0), skip: undefined }))
      .outcome;
    list.push(2);
    expect(outcome).toEqual({
      outcome: "succeeded",
      result: { list: [1], at: "1970-01-01T00:00:00.000Z" },
    });
  });

  test.for([
    { title: "a bigint", result: 1n, message: "cannot be written as JSON" },
    { title: "a function", result: () => {}, message: "a function is not JSON" },
    { title: "more than 1 MiB", result: "x".repeat(1_048_575), message: "1048577 bytes" },
    { title: "more than 1 MiB in bytes", result: "é".repeat(600_000), message: "1200002 bytes" },
  ])("fails a step that returns $title, for good", async ({ result, message }) => {
    expect(await executing(async () => result).outcome).toMatchObject({
      outcome: "failed",
      retryable: false,
      error: { name: "InvalidResultError", message: expect.stringContaining(message) },
    });
  });

  test("takes a result of exactly 1 MiB", async () => {
    const { outcome } = executing(async () => "x".repeat(1_048_574));
    expect(await outcome).toMatchObject({ outcome: "succeeded" });
  });

  test("fails with what the step throws, also before its first await", async () => {
    const { outcome } = executing(() => {
      throw new RangeError("no such ref");
    });
    expect(await outcome).toMatchObject({ error: { name: "RangeError", message: "no such ref" } });
  });

  test("aborts a step that outlives its timeout, and fails with that", async () => {
    const { outcome } = executing(({ signal }) => untilAborted(signal));
    await vi.advanceTimersByTimeAsync(60_000);
    expect(await outcome).toMatchObject({
      outcome: "failed",
      error: { name: "StepTimeoutError", message: expect.stringContaining("60000 ms") },
    });
    expect(vi.getTimerCount()).toBe(0);
  });

  test("does not abort a step that is in time", async () => {
    let aborted = false;
    const { outcome, stop } = executing(({ signal }) => {
      signal.addEventListener("abort", () => {
        aborted = true;
      });
      return untilAborted(signal);
    });
    await vi.advanceTimersByTimeAsync(59_999);
    expect(aborted).toBe(false);
    stop.abort(new ShutdownError());
    await outcome;
  });

  test("gives the abort's reason to the step, and takes the outcome from it", async () => {
    const reason = new LeaseLostError(7, "the session is dead");
    let seen: unknown;
    const { outcome, stop } = executing(async ({ signal }) => {
      await untilAborted(signal).catch(() => {
        seen = signal.reason;
      });
      throw new Error("connection closed");
    });
    stop.abort(reason);
    expect(await outcome).toEqual({ outcome: "lost" });
    expect(seen).toBe(reason);
  });

  test("counts the result of a step that finishes after its abort", async () => {
    const { outcome, stop } = executing(async ({ signal }) => {
      await untilAborted(signal).catch(() => {});
      return "done all the same";
    });
    stop.abort(new LeaseLostError(7, "the session is dead"));
    expect(await outcome).toEqual({ outcome: "succeeded", result: "done all the same" });
    expect(vi.getTimerCount()).toBe(0);
  });

  test("leaves a step alone that has ended", async () => {
    let seen: AbortSignal | undefined;
    const { outcome, stop } = executing(async ({ signal }) => {
      seen = signal;
    });
    await outcome;
    stop.abort(new LeaseLostError(7, "settled, and no longer held"));
    expect(seen?.aborted).toBe(false);
    expect(getEventListeners(stop.signal, "abort")).toHaveLength(0);
  });

  test("settles a stuck step for what the abort means, while its code goes on", async () => {
    let finish = () => {};
    const { outcome, ended, stop, log } = executing(
      () =>
        new Promise<void>((resolve) => {
          finish = resolve;
        }),
    );
    let hasEnded = false;
    void ended.then(() => {
      hasEnded = true;
    });
    stop.abort(new ShutdownError());
    await vi.advanceTimersByTimeAsync(4_999);
    expect(log.lines).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(await outcome).toMatchObject({ outcome: "released" });
    expect(log.lines).toMatchObject([
      { level: "error", message: expect.stringContaining("goes on") },
    ]);
    await setImmediate();
    expect(hasEnded).toBe(false);
    finish();
    await ended;
  });

  test("leaves nothing behind when a stuck step fails in the end", async () => {
    let fail = (_: Error) => {};
    const { outcome, ended, stop } = executing(
      () =>
        new Promise((_, reject) => {
          fail = reject;
        }),
    );
    stop.abort(new ShutdownError());
    await vi.advanceTimersByTimeAsync(5_000);
    await outcome;
    fail(new Error("too late"));
    await ended;
    expect(vi.getTimerCount()).toBe(0);
  });
});
