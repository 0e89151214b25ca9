import { NonRetryableError, RetryAfterError } from "@loom/workflow";
import { describe, expect, test } from "vitest";
import {
  CancelledError,
  classify,
  describeError,
  InvalidResultError,
  LeaseLostError,
  ShutdownError,
  StepTimeoutError,
} from "./outcome.ts";

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
      title: "a delay is as long as the step asked for",
      error: new RetryAfterError({ after: "30d" }),
      outcome: { outcome: "failed", delayMs: 2_592_000_000 },
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

  test("leaves the retry and its delay to the job unless the author sets them", () => {
    const outcome = classify(new Error("boom"));
    expect(outcome).not.toHaveProperty("retryable");
    expect(outcome).not.toHaveProperty("delayMs");
  });
});

const bytesOf = (error: unknown) => Buffer.byteLength(JSON.stringify(describeError(error)));

/** An error with as many causes, all of them as large as text gets. */
const chain = (length: number, text: string): Error =>
  new Error(text, length > 0 ? { cause: chain(length - 1, text) } : {});

describe("describeError", () => {
  test("keeps name, message, code, stack and cause", () => {
    const cause = Object.assign(new TypeError("fetch failed"), { code: "ECONNREFUSED" });
    expect(describeError(new Error("no answer", { cause }))).toEqual({
      name: "Error",
      message: "no answer",
      stack: expect.stringContaining("outcome.test.ts"),
      cause: {
        name: "TypeError",
        message: "fetch failed",
        code: "ECONNREFUSED",
        stack: expect.any(String),
      },
    });
  });

  test.for([
    { title: "a text", thrown: "boom", message: "boom" },
    { title: "nothing", thrown: undefined, message: "undefined" },
    { title: "an object", thrown: { status: 404 }, message: "{ status: 404 }" },
    { title: "an object without a prototype", thrown: Object.create(null), message: "null" },
    { title: "a symbol", thrown: Symbol("s"), message: "Symbol(s)" },
  ])("describes $title that was thrown", ({ thrown, message }) => {
    expect(describeError(thrown)).toEqual({
      name: "Error",
      message: expect.stringContaining(message),
    });
  });

  test("describes an error whose message is not a text", () => {
    const error = Object.assign(new Error(), { message: { status: 404 }, stack: undefined });
    expect(describeError(error)).toEqual({ name: "Error", message: "{ status: 404 }" });
  });

  test("survives an error that throws when it is read", () => {
    const error = Object.defineProperty(new Error("boom"), "message", {
      get: () => {
        throw new Error("not now");
      },
    });
    expect(describeError(error)).toMatchObject({ name: "Error" });
  });

  test("clips a long message, and states its length", () => {
    const { message } = describeError(new Error("x".repeat(1_000_000))) as { message: string };
    expect(message.length).toBeLessThan(5_000);
    expect(message).toContain("(1000000 characters)");
  });

  test("ends a circle of causes", () => {
    const error = new Error("round");
    error.cause = error;
    expect(JSON.stringify(describeError(error)).match(/"round"/g)).toHaveLength(6);
  });

  // sql/settle.sql refuses errors of more; NUL takes six bytes a character.
  test.for(["x", "é", "漢", "\u0000", "\ud800"])(
    "fits 64 KiB with every text full of %j",
    (character) => {
      const text = character.repeat(100_000);
      for (let causes = 0; causes <= 6; causes += 1) {
        const error = chain(causes, text);
        error.name = text;
        error.stack = text;
        Object.assign(error, { code: text });
        expect(bytesOf(error)).toBeLessThanOrEqual(65_536);
      }
    },
  );

  test("drops the deepest causes first", () => {
    const error = chain(5, "漢".repeat(100_000));
    expect(describeError(error)).toHaveProperty("cause.message");
    expect(describeError(error)).not.toHaveProperty("cause.cause.cause.cause.cause");
  });
});
