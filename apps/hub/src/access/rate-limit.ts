import type { Context } from "hono";
import { ProblemError } from "../problem.ts";

/** How many requests one credential may make: at once, and as a steady stream. */
export interface RateLimit {
  burst: number;
  perSecond: number;
}

/** Of buckets that are kept; a full one is the same as none. */
const MAX_BUCKETS = 10_000;

interface Bucket {
  left: number;
  at: number;
}

/**
 * Counts requests by key with a bucket of tokens each.
 *
 * Answers carry `RateLimit-Policy` and `RateLimit` as draft-ietf-httpapi-ratelimit-headers-11 has them.
 */
export function createRateLimiter(
  { burst, perSecond }: RateLimit,
  now: () => number = () => performance.now() / 1_000,
) {
  const buckets = new Map<string, Bucket>();

  function take(key: string): number {
    const at = now();
    const before = buckets.get(key) ?? { left: burst, at };
    const filled = Math.min(burst, before.left + (at - before.at) * perSecond);
    const left = filled >= 1 ? filled - 1 : filled;
    buckets.delete(key);
    buckets.set(key, { left, at });
    const [oldest] = buckets.keys();
    if (buckets.size > MAX_BUCKETS && oldest !== undefined) buckets.delete(oldest);
    return filled >= 1 ? left : -1;
  }

  /** @throws ProblemError `RATE_LIMITED` when the key has had enough. */
  return (c: Context, key: string): void => {
    const left = take(key);
    const policy = `"default";q=${burst};w=${Math.ceil(burst / perSecond)}`;
    const waitSeconds = Math.ceil(1 / perSecond);
    const state = `"default";r=${Math.max(0, Math.floor(left))};t=${waitSeconds}`;
    if (left < 0) {
      throw new ProblemError(
        {
          title: "Too many requests",
          status: 429,
          code: "RATE_LIMITED",
          detail: `more than ${perSecond} requests a second, after ${burst} at once`,
          hint: `come again in ${waitSeconds} s`,
        },
        { "ratelimit-policy": policy, ratelimit: state, "retry-after": String(waitSeconds) },
      );
    }
    c.header("RateLimit-Policy", policy);
    c.header("RateLimit", state);
  };
}
