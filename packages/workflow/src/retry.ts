import { type Duration, positiveMs } from "./duration.ts";
import { limits } from "./limits.ts";

const DEFAULT_DELAY_MS = 1_000;
const DEFAULT_MAX_DELAY_MS = 5 * 60_000;

/** The retries that a step author requests. */
export interface RetryOptions {
  /** The number of attempts, including the first: 1 to 1000. */
  readonly attempts: number;
  /** A duration alone is a fixed delay. Default: exponential from 1 s to 5 min. */
  readonly backoff?: Duration | BackoffOptions;
}

/** The delay between attempts. An exponential delay doubles up to `max` (default 5 min). */
export type BackoffOptions =
  | { readonly kind: "fixed"; readonly delay: Duration }
  | { readonly kind: "exponential"; readonly delay: Duration; readonly max?: Duration };

/** The retries of a step with all defaults filled in. */
export interface RetryPolicy {
  readonly attempts: number;
  readonly backoff: {
    readonly kind: "fixed" | "exponential";
    readonly delayMs: number;
    /** Never below `delayMs`; the same for a fixed delay. */
    readonly maxDelayMs: number;
  };
}

/**
 * Fills in the defaults. The default is one attempt, because only the author knows whether a second
 * one is harmless.
 *
 * @throws RangeError when a number cannot be used.
 * @throws InvalidDurationError when a delay is not a duration.
 */
export function toRetryPolicy({ attempts, backoff }: RetryOptions = { attempts: 1 }): RetryPolicy {
  if (!Number.isInteger(attempts) || attempts < 1 || attempts > limits.attempts) {
    throw new RangeError(
      `retry.attempts must be a whole number from 1 to ${limits.attempts}, not ${attempts}`,
    );
  }
  return { attempts, backoff: toBackoff(backoff) };
}

function toBackoff(backoff: RetryOptions["backoff"]): RetryPolicy["backoff"] {
  if (backoff === undefined) {
    return { kind: "exponential", delayMs: DEFAULT_DELAY_MS, maxDelayMs: DEFAULT_MAX_DELAY_MS };
  }
  if (typeof backoff === "string") return toBackoff({ kind: "fixed", delay: backoff });
  const delayMs = positiveMs("retry.backoff.delay", backoff.delay);
  switch (backoff.kind) {
    case "fixed":
      return { kind: "fixed", delayMs, maxDelayMs: delayMs };
    case "exponential": {
      const maxDelayMs =
        backoff.max === undefined
          ? Math.max(delayMs, DEFAULT_MAX_DELAY_MS)
          : positiveMs("retry.backoff.max", backoff.max);
      if (maxDelayMs < delayMs) {
        throw new RangeError("retry.backoff.max must not be below retry.backoff.delay");
      }
      return { kind: "exponential", delayMs, maxDelayMs };
    }
    default:
      throw new RangeError('retry.backoff.kind must be "fixed" or "exponential"');
  }
}
