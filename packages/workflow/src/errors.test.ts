import { describe, expect, test } from "vitest";
import { InvalidDurationError } from "./duration.ts";
import { NonRetryableError, RetryAfterError } from "./errors.ts";

describe("RetryAfterError", () => {
  test("carries the delay in milliseconds, and its cause", () => {
    const cause = new Error("429");
    const error = new RetryAfterError({ after: "5m", cause });
    expect(error).toMatchObject({ code: "RETRY_AFTER", afterMs: 300_000, cause });
    expect(error.message).toBe("try again in 5m");
  });

  test("has the author's message", () => {
    const error = new RetryAfterError({ after: "5m", message: "the registry is busy" });
    expect(error.message).toBe("the registry is busy");
  });

  test("accepts up to a year, and refuses more", () => {
    expect(new RetryAfterError({ after: "365d" }).afterMs).toBe(31_536_000_000);
    expect(() => new RetryAfterError({ after: "366d" })).toThrow('after must be at most "365d"');
  });

  test("refuses a text that is not a duration", () => {
    expect(() => new RetryAfterError({ after: "xm" as "5m" })).toThrow(InvalidDurationError);
  });
});

describe("NonRetryableError", () => {
  test("carries its cause", () => {
    const cause = new Error("404");
    const error = new NonRetryableError("no such image", { cause });
    expect(error).toMatchObject({ code: "NON_RETRYABLE", message: "no such image", cause });
  });
});
