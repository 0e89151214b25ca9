import type { Settlement } from "@loom/queue";
import { NonRetryableError, RetryAfterError } from "@loom/workflow";
import { describeError } from "./describe-error.ts";
import { LeaseLostError, ShutdownError } from "./errors.ts";

type Unclaimed<Kind> = Kind extends unknown ? Omit<Kind, "id" | "fence"> : never;

/** What an attempt came to, before it is settled. `lost`: there is nothing to settle. */
export type Outcome = Unclaimed<Settlement> | { outcome: "lost" };

/** What a failure means for the job. How many attempts are left is the database's business. */
export function classify(error: unknown): Outcome {
  if (error instanceof LeaseLostError) return { outcome: "lost" };
  if (error instanceof ShutdownError) return { outcome: "released", reason: error.message };
  const failed = { outcome: "failed", error: describeError(error) } as const;
  if (error instanceof NonRetryableError) return { ...failed, retryable: false };
  if (error instanceof RetryAfterError) return { ...failed, delayMs: error.afterMs };
  return failed;
}
