import type { Context } from "hono";
import { LRUCache } from "lru-cache";
import { ProblemError } from "../problem.ts";
import { describeProblem } from "../problem-table.ts";

/** How many requests one credential may make: at once, and as a steady rate. */
export interface RateLimit {
  burst: number;
  perSecond: number;
}

/** How many buckets are kept. An evicted bucket starts full again. */
const MAX_BUCKETS = 10_000;

interface Bucket {
  left: number;
  at: number;
}

/**
 * Counts requests by key, with one token bucket a key.
 *
 * Answers carry `RateLimit-Policy` and `RateLimit` as draft-ietf-httpapi-ratelimit-headers-11 has them.
 */
export function createRateLimiter(
  { burst, perSecond }: RateLimit,
  now: () => number = () => performance.now() / 1_000,
) {
  const buckets = new LRUCache<string, Bucket>({ max: MAX_BUCKETS });

  function take(key: string): number {
    const at = now();
    const before = buckets.get(key) ?? { left: burst, at };
    const filled = Math.min(burst, before.left + (at - before.at) * perSecond);
    const left = filled >= 1 ? filled - 1 : filled;
    buckets.set(key, { left, at });
    return filled >= 1 ? left : -1;
  }

  /** @throws ProblemError `RATE_LIMITED` when the key's bucket is empty. */
  return (c: Context, key: string): void => {
    const left = take(key);
    const policy = `"default";q=${burst};w=${Math.ceil(burst / perSecond)}`;
    const waitSeconds = Math.ceil(1 / perSecond);
    const state = `"default";r=${Math.max(0, Math.floor(left))};t=${waitSeconds}`;
    if (left < 0) {
      throw new ProblemError(describeProblem("RATE_LIMITED", { perSecond, burst }, waitSeconds), {
        "ratelimit-policy": policy,
        ratelimit: state,
        "retry-after": String(waitSeconds),
      });
    }
    c.header("RateLimit-Policy", policy);
    c.header("RateLimit", state);
  };
}
