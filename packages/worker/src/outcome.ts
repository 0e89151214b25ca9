import { inspect } from "node:util";
import type { Settlement } from "@loom/queue";
import {
  type JsonValue,
  limits,
  type NonRetryableError,
  type RetryAfterError,
} from "@loom/workflow";

// What ends a step, and what that means for its job. An aborted step has one of these errors as its
// reason, and `classify` reads nothing else.

/** The step did not end in time. */
export class StepTimeoutError extends Error {
  override readonly name = "StepTimeoutError";
  readonly code = "STEP_TIMEOUT";
  readonly timeoutMs: number;
  constructor(timeoutMs: number) {
    super(`the step did not end within its timeout of ${timeoutMs} ms`);
    this.timeoutMs = timeoutMs;
  }
}

/** The step returned a value that cannot be stored. */
export class InvalidResultError extends Error {
  override readonly name = "InvalidResultError";
  readonly code = "INVALID_RESULT";
}

/** The step keeps a value that cannot be stored. */
export class InvalidCheckpointError extends Error {
  override readonly name = "InvalidCheckpointError";
  readonly code = "INVALID_CHECKPOINT";
}

/** A checkpoint is not stored: the attempt may not write any more. */
export class CheckpointRefusedError extends Error {
  override readonly name = "CheckpointRefusedError";
  readonly code = "CHECKPOINT_REFUSED";
  constructor(reason: string) {
    super(`the checkpoint is not stored: ${reason}`);
  }
}

/** The stored input or results of a claimed job cannot be read, because they were not written by Loom. */
export class UnreadableJobError extends Error {
  override readonly name = "UnreadableJobError";
  readonly code = "JOB_UNREADABLE";
  readonly jobId: number;
  constructor(jobId: number, problem: string) {
    super(`job ${jobId} cannot be run: ${problem}; run what it reads from again`);
    this.jobId = jobId;
  }
}

/** Why a node refuses a command for good. */
export type ExecRefusal =
  /** The hub did not sign this command, or it was changed since. */
  | "EXEC_SIGNATURE_REFUSED"
  /** The hub signed it for another run, or another node. */
  | "EXEC_NOT_FOR_THIS"
  /** The time within which it may begin is over. */
  | "EXEC_EXPIRED";

/** A job is no command that this hub sent to this node now. */
export class ExecRefusedError extends Error {
  override readonly name = "ExecRefusedError";
  readonly code: ExecRefusal;
  constructor(code: ExecRefusal, message: string) {
    super(message);
    this.code = code;
  }
}

/** Another node may hold the job now, so nothing that this attempt writes counts. */
export class LeaseLostError extends Error {
  override readonly name = "LeaseLostError";
  readonly code = "LEASE_LOST";
  readonly jobId: number;
  constructor(jobId: number, reason: string) {
    super(`lease on job ${jobId} was lost: ${reason}; another node may be running it`);
    this.jobId = jobId;
  }
}

/** The worker is stopping, or cannot begin the job, and the job goes back. */
export class ShutdownError extends Error {
  override readonly name = "ShutdownError";
  readonly code = "SHUTDOWN";
  constructor(reason = "the worker is stopping") {
    super(reason);
  }
}

/** Somebody asked to cancel the job. */
export class CancelledError extends Error {
  override readonly name = "CancelledError";
  readonly code = "CANCELLED";
  constructor() {
    super("the job was cancelled");
  }
}

type Unclaimed<Kind> = Kind extends unknown ? Omit<Kind, "id" | "fence"> : never;

/** The outcome of an attempt before it is settled. `lost`: there is nothing to settle. */
export type Outcome = Unclaimed<Settlement> | { outcome: "lost" };

/**
 * Decides what an error means for the job. The database counts the attempts that are left.
 *
 * @param scrub - Hides secrets in the stored error.
 */
export function classify(error: unknown, scrub?: (text: string) => string): Outcome {
  if (error instanceof LeaseLostError) return { outcome: "lost" };
  if (error instanceof ShutdownError) return { outcome: "released", reason: error.message };
  const failed = { outcome: "failed", error: describeError(error, scrub) } as const;
  if (isFinal(error)) {
    return { ...failed, retryable: false };
  }
  if (isRetryAfter(error)) return { ...failed, delayMs: Math.min(error.afterMs, limits.delayMs) };
  return failed;
}

/** The pause before a declined job is placed again, because the node is the same until then. */
const DECLINED_DELAY_MS = 5_000;

/** Gives a job back that this node cannot run now. */
export const decline = (reason: string) =>
  ({ outcome: "declined", reason, delayMs: DECLINED_DELAY_MS }) as const;

const isFinal = (error: unknown): boolean =>
  error instanceof InvalidResultError ||
  error instanceof InvalidCheckpointError ||
  error instanceof UnreadableJobError ||
  error instanceof ExecRefusedError ||
  isNonRetryable(error);

// By code, not by class: a workflow file may import its own copy of @loom/workflow.
const isNonRetryable = (error: unknown): error is NonRetryableError =>
  error instanceof Error && "code" in error && error.code === "NON_RETRYABLE";

const isRetryAfter = (error: unknown): error is RetryAfterError =>
  error instanceof Error && "code" in error && error.code === "RETRY_AFTER";

// An error holds at most 64 KiB in the database. A character is at most six bytes of
// JSON (\u0000), so an error within these limits, without its causes, always fits.
const MAX_BYTES = 65_536;
const MAX_NAME = 100;
const MAX_MESSAGE = 3_000;
const MAX_STACK = 7_000;
const MAX_CAUSES = 5;

/**
 * Converts an error of a step to the value that its job stores, at most 64 KiB of JSON.
 *
 * @param scrub - Hides secrets in a text, before the text is cut.
 */
export function describeError(error: unknown, scrub: Scrub = (text) => text): JsonValue {
  try {
    let description = describe(error, MAX_CAUSES, scrub);
    for (let causes = MAX_CAUSES - 1; causes >= 0 && isTooLarge(description); causes -= 1) {
      description = describe(error, causes, scrub);
    }
    return description;
  } catch {
    // A getter or a method of the error threw.
    return { name: "Error", message: "the step threw something that cannot be read" };
  }
}

type Scrub = (text: string) => string;

function describe(error: unknown, causes: number, scrub: Scrub): JsonValue {
  const clip = (value: unknown, max: number): string => {
    const text = scrub(typeof value === "string" ? value : inspect(value));
    return text.length <= max ? text : `${text.slice(0, max)} … (${text.length} characters)`;
  };
  if (!(error instanceof Error)) return { name: "Error", message: clip(error, MAX_MESSAGE) };
  const { name, message, stack, cause } = error;
  return {
    name: clip(name, MAX_NAME),
    message: clip(message, MAX_MESSAGE),
    ...("code" in error && typeof error.code === "string" && { code: clip(error.code, MAX_NAME) }),
    ...exitStatusOf(error),
    ...(stack && { stack: clip(stack, MAX_STACK) }),
    ...(cause !== undefined && causes > 0 && { cause: describe(cause, causes - 1, scrub) }),
  };
}

/** The exit status of the program that the error is about, if there is one. */
const exitStatusOf = (error: Error): { exitCode?: number; signal?: string } => ({
  ...("exitCode" in error &&
    Number.isInteger(error.exitCode) && { exitCode: Number(error.exitCode) }),
  ...("signal" in error &&
    typeof error.signal === "string" &&
    /^SIG[A-Z0-9]+$/.test(error.signal) && { signal: error.signal.slice(0, MAX_NAME) }),
});

const isTooLarge = (value: JsonValue): boolean =>
  Buffer.byteLength(JSON.stringify(value)) > MAX_BYTES;
