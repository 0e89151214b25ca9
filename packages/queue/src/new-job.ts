import type { JsonValue, Preference, RetryPolicy } from "@loom/workflow";
import { z } from "zod";

/** A job of its own, without a run. What is left out gets the default of a step. */
export interface NewJob {
  workflow: string;
  step: string;
  /** At most 256 KiB as JSON. */
  input: JsonValue;
  /** A second job with this key in its workflow is not added: the first one is the answer. */
  key?: string;
  requires?: readonly string[];
  prefers?: readonly Preference[];
  /** Pins it to a node: no hub has to place it. */
  host?: string;
  /** 0 to 1000, lower goes first; default 100. */
  priority?: number;
  /** Not due before; default 0. */
  delayMs?: number;
  /** Fails with `EXPIRED` when it is not started this long after it is due. */
  startWithinMs?: number;
  /** Of one attempt; default 600 000. */
  timeoutMs?: number;
  /** Default: one attempt. */
  retry?: RetryPolicy;
  /** How often it may be lost with its node; default 3. */
  maxCrashRestarts?: number;
  /** Of the jobs with this key at most `limit` run at a time, wherever. */
  concurrency?: { key: string; limit: number };
  /** The trace that it belongs to: https://www.w3.org/TR/trace-context */
  traceparent?: string;
}

export const enqueuedJob = z.object({
  id: z.int(),
  /** `existing`: a job with this key was there, and is the answer. */
  returned: z.enum(["created", "existing"]),
});
export type EnqueuedJob = z.output<typeof enqueuedJob>;

/** The job as the SQL function reads it. */
export function toNewRow(job: NewJob): Record<string, unknown> {
  const { attempts, backoff } = job.retry ?? {
    attempts: 1,
    backoff: { kind: "fixed", delayMs: 0, maxDelayMs: 0 },
  };
  return {
    workflow: job.workflow,
    step: job.step,
    key: job.key,
    payload: JSON.stringify(job.input),
    requires: job.requires ?? [],
    prefers: job.prefers ?? [],
    host: job.host,
    priority: job.priority ?? 100,
    delay_ms: job.delayMs ?? 0,
    start_within_ms: job.startWithinMs,
    timeout_ms: job.timeoutMs ?? 600_000,
    max_attempts: attempts,
    max_crash_restarts: job.maxCrashRestarts ?? 3,
    backoff_kind: backoff.kind,
    backoff_ms: backoff.delayMs,
    backoff_max_ms: backoff.maxDelayMs,
    concurrency_key: job.concurrency?.key,
    concurrency_limit: job.concurrency?.limit,
    traceparent: job.traceparent,
  };
}
