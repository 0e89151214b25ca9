import type { Settlement } from "@loom/queue";
import type { NonRetryableError, RetryAfterError } from "@loom/workflow";
import { describeError } from "./describe-error.ts";
import { InvalidResultError, LeaseLostError, ShutdownError } from "./errors.ts";

type Unclaimed<Kind> = Kind extends unknown ? Omit<Kind, "id" | "fence"> : never;

/** What an attempt came to, before it is settled. `lost`: there is nothing to settle. */
export type Outcome = Unclaimed<Settlement> | { outcome: "lost" };

/** 11.5 days: sql/settle_jobs.sql reads delays of up to nine digits. */
const MAX_DELAY_MS = 999_999_999;

/**
 * What a failure means for the job. How many attempts are left is the database's business.
 *
 * @param scrub - Hides secrets in what is kept of the error.
 */
export function classify(error: unknown, scrub?: (text: string) => string): Outcome {
  if (error instanceof LeaseLostError) return { outcome: "lost" };
  if (error instanceof ShutdownError) return { outcome: "released", reason: error.message };
  const failed = { outcome: "failed", error: describeError(error, scrub) } as const;
  if (error instanceof InvalidResultError || isNonRetryable(error)) {
    return { ...failed, retryable: false };
  }
  if (isRetryAfter(error)) return { ...failed, delayMs: Math.min(error.afterMs, MAX_DELAY_MS) };
  return failed;
}

/** A declined job is not offered again before the node may have changed. */
const DECLINED_DELAY_MS = 5_000;

/** Gives a job back that this node cannot run now. */
export const decline = (reason: string) =>
  ({ outcome: "declined", reason, delayMs: DECLINED_DELAY_MS }) as const;

// By code: a workflow file may have imported a copy of @loom/workflow of its own, whose
// classes are not ours.
const isNonRetryable = (error: unknown): error is NonRetryableError =>
  error instanceof Error && "code" in error && error.code === "NON_RETRYABLE";

const isRetryAfter = (error: unknown): error is RetryAfterError =>
  error instanceof Error && "code" in error && error.code === "RETRY_AFTER";
