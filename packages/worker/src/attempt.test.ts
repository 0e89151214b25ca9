import { getEventListeners } from "node:events";
import { setImmediate } from "node:timers/promises";
import {
  type AppendAnswer,
  type ClaimedJob,
  QueueRequestError,
  type Settlement,
  type SettlementAnswer,
} from "@loom/queue";
import { defineWorkflow, type Step, type StepContext } from "@loom/workflow";
import { beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { recordLog } from "../test/recorded-log.ts";
import { execute, findStep, type SentOutcome, settle } from "./attempt.ts";
import { LeaseLostError, ShutdownError } from "./outcome.ts";
import { createInlineRunner } from "./step-process/step-runner.ts";

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
  const workflow = defineWorkflow({ name: "deploy" }).step("build", {}, run as Step["run"]);
  const stop = new AbortController();
  const log = recordLog();
  const output: string[] = [];
  const attempt = execute(createInlineRunner([workflow]), {
    job,
    node: "forge",
    signal: stop.signal,
    write: (text) => void output.push(text),
    onStarted: () => {},
    onProgress: () => {},
    onCheckpoint: async () => {},
    log,
  });
  return { stop, log, output, ...attempt };
}

function nested(levels: number): unknown {
  let value: unknown = [];
  for (let level = 1; level < levels; level += 1) value = [value];
  return value;
}

const circle: { in: { self?: object } } = { in: {} };
circle.in.self = circle.in;

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
    { title: "a bigint", result: 1n, message: "a bigint is not JSON" },
    { title: "a function", result: () => {}, message: "a function is not JSON" },
    {
      title: "a function inside",
      result: { steps: [{ run: () => {} }] },
      message: "the result's steps[0].run cannot be kept: a function is not JSON",
    },
    {
      title: "a Map inside",
      result: { by: { name: new Map([["a", 1]]) } },
      message: "the result's by.name cannot be kept: a Map is not JSON",
    },
    { title: "a Set", result: new Set([1]), message: "a Set is not JSON" },
    { title: "an error inside", result: { e: new Error("x") }, message: "the result's e cannot" },
    { title: "a symbol inside", result: { s: Symbol("x") }, message: "a symbol is not JSON" },
    { title: "bytes inside", result: { b: new Uint8Array(2) }, message: "a Uint8Array is not" },
    { title: "NaN inside", result: { "a b": [Number.NaN] }, message: `result's ["a b"][0] cannot` },
    { title: "a gap in a list", result: [1, undefined, 2], message: "the result's [1] cannot" },
    { title: "an invalid date", result: [new Date(Number.NaN)], message: "an invalid Date" },
    {
      title: "a circle",
      result: circle,
      message: "the result's in.self cannot be kept: it contains",
    },
    {
      title: "what is 101 levels deep",
      result: nested(101),
      message: "it nests deeper than 100 levels",
    },
    {
      title: "what is 100 000 levels deep",
      result: nested(100_000),
      message: "it nests deeper than 100 levels",
    },
    { title: "more than 1 MiB", result: "x".repeat(1_048_575), message: "1048577 bytes" },
    { title: "more than 1 MiB in bytes", result: "é".repeat(600_000), message: "1200002 bytes" },
  ])("fails a step that returns $title, for good", async ({ result, message }) => {
    expect(await executing(async () => result).outcome).toMatchObject({
      outcome: "failed",
      retryable: false,
      error: { name: "InvalidResultError", message: expect.stringContaining(message) },
    });
  });

  test("takes a result of 100 levels, and objects of the author's own classes", async () => {
    class Point {
      x = 1;
    }
    const twice = { n: 1 };
    const result = { deep: nested(99), point: new Point(), twice: [twice, twice], no: undefined };
    expect(await executing(async () => result).outcome).toEqual({
      outcome: "succeeded",
      result: { deep: nested(99), point: { x: 1 }, twice: [twice, twice] },
    });
  });

  test.for([
    {
      title: "throws",
      start: () => {
        throw new RangeError("too deep to send");
      },
    },
    {
      title: "rejects",
      start: () => {
        const outcome = Promise.reject(new RangeError("too deep to send"));
        return { outcome, ended: outcome.then(() => {}) };
      },
    },
  ])("fails the attempt and nothing else when the runner $title", async ({ start }) => {
    const log = recordLog();
    const { outcome, ended } = execute(
      { start, fault: () => null, recheck: async () => {}, close: async () => {} },
      {
        job,
        node: "forge",
        signal: new AbortController().signal,
        write: () => {},
        onStarted: () => {},
        onProgress: () => {},
        onCheckpoint: async () => {},
        log,
      },
    );
    expect(await outcome).toMatchObject({
      outcome: "failed",
      error: { name: "RangeError", message: "too deep to send" },
    });
    await ended;
    expect(vi.getTimerCount()).toBe(0);
    expect(log.lines).toMatchObject([{ level: "error" }]);
  });

  test("takes a result of exactly 1 MiB", async () => {
    const { outcome } = executing(async () => "x".repeat(1_048_574));
    expect(await outcome).toMatchObject({ outcome: "succeeded" });
  });

  test("fails with the step's error, also before its first await", async () => {
    const { outcome } = executing(() => {
      throw new RangeError("no such ref");
    });
    expect(await outcome).toMatchObject({ error: { name: "RangeError", message: "no such ref" } });
  });

  test("aborts a step that exceeds its timeout, and fails with a timeout error", async () => {
    const { outcome } = executing(({ signal }) => untilAborted(signal));
    await vi.advanceTimersByTimeAsync(60_000);
    expect(await outcome).toMatchObject({
      outcome: "failed",
      error: { name: "StepTimeoutError", message: expect.stringContaining("60000 ms") },
    });
    expect(vi.getTimerCount()).toBe(0);
  });

  test("does not abort a step that ends within its timeout", async () => {
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

  test("does not abort a step that has ended", async () => {
    let seen: AbortSignal | undefined;
    const { outcome, stop } = executing(async ({ signal }) => {
      seen = signal;
    });
    await outcome;
    stop.abort(new LeaseLostError(7, "settled, and no longer held"));
    expect(seen?.aborted).toBe(false);
    expect(getEventListeners(stop.signal, "abort")).toHaveLength(0);
  });

  test("settles a stuck step by the reason of its abort, while its code goes on", async () => {
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

const deploy = defineWorkflow({ name: "deploy" }).step("build", {}, async () => {});
const workflows = new Map([[deploy.name, deploy]]);
const node = { name: "forge", capabilities: ["docker"] };
const wantedJob = {
  ...{ workflow: "deploy", step: "build", requires: ["docker", "node=forge"] },
  ...{ runId: null, input: {} },
};

describe("findStep", () => {
  test("finds the step that the job asks for", () => {
    expect(findStep(wantedJob, node, workflows)).toBe(deploy.steps[0]);
  });

  test("declines a step that the node does not offer, and names it", () => {
    const requires = ["has-gpu", "docker", "node=oracle"];
    expect(findStep({ ...wantedJob, requires }, node, workflows)).toEqual({
      declined: "forge lacks has-gpu and has node=forge where node=oracle is required",
    });
  });

  test("declines a run that was planned with other code, and names its own version", () => {
    const capabilities = ["workflow:deploy", "workflow:deploy@aaa"];
    const requires = ["workflow:deploy@bbb"];
    expect(findStep({ ...wantedJob, requires }, { ...node, capabilities }, workflows)).toEqual({
      declined: "forge has version aaa of workflow deploy, not bbb, and accepts none",
    });
  });

  test.for([
    { workflow: "deploy", step: "restart" },
    { workflow: "backup", step: "build" },
  ])("declines step $step of workflow $workflow, which it does not have", (wanted) => {
    expect(findStep({ ...wantedJob, ...wanted }, node, workflows)).toEqual({
      declined: `forge has no step ${wanted.step} in workflow ${wanted.workflow}`,
    });
  });
});

const succeeded = { id: 7, fence: 2, outcome: "succeeded", result: null } as const;

/** Settles over a loop that gives these answers, call by call; then it has ended. */
function settling(answers: (SettlementAnswer["answer"] | Error)[], output?: AppendAnswer) {
  const items: Settlement[] = [];
  const log = recordLog();
  const deps = {
    async send({ settlement }: SentOutcome) {
      items.push(settlement);
      const answer = answers[items.length - 1];
      if (answer instanceof Error) throw answer;
      return answer && { answer, log: output };
    },
    slot: { isOver: true, isSent: false, isSettled: false },
    log,
  };
  return { items, log, deps };
}

describe("settle", () => {
  test("writes the outcome with the claim's fence", async () => {
    const { items, deps } = settling(["accepted"]);
    expect(await settle(succeeded, deps)).toBe("recorded");
    expect(items).toEqual([succeeded]);
  });

  test("reports an outcome that nobody sent", async () => {
    const { log, deps } = settling([]);
    expect(await settle(succeeded, deps)).toBe("unanswered");
    expect(log.lines.at(-1)).toMatchObject({ level: "error" });
  });

  test.for(["stale", "unknown"] as const)("takes %s for an answer", async (answer) => {
    const { items, log, deps } = settling([answer]);
    expect(await settle(succeeded, deps)).toBe("refused");
    expect(items).toHaveLength(1);
    expect(log.lines).toMatchObject([{ level: "warn", facts: { answer } }]);
  });

  test.for(["too_large", "invalid"] as const)(
    "fails the job, once, when its outcome is answered %s",
    async (answer) => {
      const { items, deps } = settling([answer, answer]);
      await settle(succeeded, deps);
      expect(items).toMatchObject([
        succeeded,
        { outcome: "failed", retryable: false, error: { code: "OUTCOME_REFUSED" } },
      ]);
    },
  );

  // Regression: the answer to the repeated call said that the output, which was there, is refused.
  test.for([
    { answer: "accepted", reported: ["stale"] },
    { answer: "duplicate", reported: [] },
  ] as const)("believes the output's answer when it is $answer", async ({ answer, reported }) => {
    const { deps } = settling([answer], "stale");
    const given: string[] = [];
    const output = { unsent: () => [], answered: (log: string) => void given.push(log) };
    await settle(succeeded, deps, output);
    expect(given).toEqual(reported);
  });

  test("throws errors that a retry cannot fix", async () => {
    const refused = new QueueRequestError("settle", { code: "INVALID_ARGUMENT", message: "no" });
    const { deps } = settling([refused]);
    await expect(settle(succeeded, deps)).rejects.toBe(refused);
  });
});
