import type { PlannedJob } from "@loom/workflow";

/** A job of a plan as `loom_start_run` reads it. */
export const toPlannedRow = (job: PlannedJob, traceparent?: string) => ({
  step: job.step,
  after: job.after,
  requires: job.requires,
  prefers: job.prefers,
  host: job.host,
  priority: job.priority,
  timeout_ms: job.timeoutMs,
  max_attempts: job.retry.attempts,
  backoff_kind: job.retry.backoff.kind,
  backoff_ms: job.retry.backoff.delayMs,
  backoff_max_ms: job.retry.backoff.maxDelayMs,
  max_crash_restarts: job.maxCrashRestarts,
  start_within_ms: job.startWithinMs,
  concurrency_key: job.concurrency?.key,
  concurrency_limit: job.concurrency?.limit,
  traceparent,
});
