import { NonRetryableError, RetryAfterError } from "@loom/workflow";
import { describe, expect, test } from "vitest";
import { classify } from "./classify.ts";
import {
  CancelledError,
  InvalidResultError,
  LeaseLostError,
  ShutdownError,
  StepTimeoutError,
} from "./errors.ts";

/** An error as another copy of @loom/workflow would throw it. */
const foreign = (facts: object) => Object.assign(new Error("foreign"), facts);

describe("classify", () => {
  test.for([
    { title: "a failure is retried", error: new Error("boom"), outcome: { outcome: "failed" } },
    { title: "a thrown text is retried", error: "boom", outcome: { outcome: "failed" } },
    {
      title: "a timeout is retried",
      error: new StepTimeoutError(5),
      outcome: { outcome: "failed", error: { name: "StepTimeoutError", code: "STEP_TIMEOUT" } },
    },
    {
      title: "what the author calls final is not retried",
      error: new NonRetryableError("no such image"),
      outcome: { outcome: "failed", retryable: false, error: { message: "no such image" } },
    },
    {
      title: "what the author calls final is known by its code alone",
      error: foreign({ code: "NON_RETRYABLE" }),
      outcome: { outcome: "failed", retryable: false },
    },
    {
      title: "a result that cannot be kept is not retried",
      error: new InvalidResultError("a function is not JSON"),
      outcome: { outcome: "failed", retryable: false, error: { code: "INVALID_RESULT" } },
    },
    {
      title: "the author chooses the delay",
      error: new RetryAfterError({ after: "5m" }),
      outcome: { outcome: "failed", delayMs: 300_000 },
    },
    {
      title: "the author's delay is known by its code alone",
      error: foreign({ code: "RETRY_AFTER", afterMs: 7 }),
      outcome: { outcome: "failed", delayMs: 7 },
    },
    {
      title: "a delay is no longer than the queue can read",
      error: new RetryAfterError({ after: "30d" }),
      outcome: { outcome: "failed", delayMs: 999_999_999 },
    },
    {
      title: "a cancelled step has failed: the database makes it cancelled",
      error: new CancelledError(),
      outcome: { outcome: "failed", error: { code: "CANCELLED" } },
    },
    {
      title: "a shutdown gives the job back",
      error: new ShutdownError(),
      outcome: { outcome: "released", reason: "the worker is stopping" },
    },
    {
      title: "a lost lease settles nothing",
      error: new LeaseLostError(1, "the session is dead"),
      outcome: { outcome: "lost" },
    },
  ])("$title", ({ error, outcome }) => {
    expect(classify(error)).toMatchObject(outcome);
  });

  test("leaves the retry and its delay to the job unless the author says something", () => {
    const outcome = classify(new Error("boom"));
    expect(outcome).not.toHaveProperty("retryable");
    expect(outcome).not.toHaveProperty("delayMs");
  });
});
