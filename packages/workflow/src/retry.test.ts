import { describe, expect, test } from "vitest";
import { type RetryOptions, toRetryPolicy } from "./retry.ts";

describe("toRetryPolicy", () => {
  test("gives one attempt to a step without the option", () => {
    expect(toRetryPolicy()).toMatchObject({ attempts: 1 });
  });

  test.for<{ title: string; backoff: RetryOptions["backoff"]; expected: unknown }>([
    {
      title: "grows from a second to five minutes by default",
      backoff: undefined,
      expected: { kind: "exponential", delayMs: 1_000, maxDelayMs: 300_000 },
    },
    {
      title: "takes a duration as a fixed delay",
      backoff: "30s",
      expected: { kind: "fixed", delayMs: 30_000, maxDelayMs: 30_000 },
    },
    {
      title: "takes a fixed delay in full",
      backoff: { kind: "fixed", delay: "2m" },
      expected: { kind: "fixed", delayMs: 120_000, maxDelayMs: 120_000 },
    },
    {
      title: "takes an exponential delay with its limit",
      backoff: { kind: "exponential", delay: "2s", max: "1m" },
      expected: { kind: "exponential", delayMs: 2_000, maxDelayMs: 60_000 },
    },
    {
      title: "never limits below the first delay",
      backoff: { kind: "exponential", delay: "10m" },
      expected: { kind: "exponential", delayMs: 600_000, maxDelayMs: 600_000 },
    },
  ])("$title", ({ backoff, expected }) => {
    const retry = backoff === undefined ? { attempts: 3 } : { attempts: 3, backoff };
    expect(toRetryPolicy(retry)).toEqual({ attempts: 3, backoff: expected });
  });

  test.for([0, -1, 1.5, 1_001, Number.NaN, Number.POSITIVE_INFINITY])(
    "refuses %d attempts",
    (attempts) => {
      expect(() => toRetryPolicy({ attempts })).toThrow("from 1 to 1000");
    },
  );

  test.for([
    { backoff: "0s", problem: "retry.backoff.delay must be above 0" },
    { backoff: { kind: "exponential", delay: "1m", max: "1s" }, problem: "must not be below" },
    { backoff: { kind: "exponential", delay: "1m", max: "0s" }, problem: "retry.backoff.max" },
    { backoff: { kind: "linear", delay: "1m" }, problem: '"fixed" or "exponential"' },
    { backoff: { kind: "fixed", delay: "soon" }, problem: '"soon" is not a duration' },
  ])("refuses the backoff $backoff", ({ backoff, problem }) => {
    const retry = { attempts: 2, backoff } as RetryOptions;
    expect(() => toRetryPolicy(retry)).toThrow(problem);
  });
});
