import type { ClaimedJob } from "@loom/queue";
import type { JsonValue, Step } from "@loom/workflow";
import { classify, type Outcome } from "./classify.ts";
import { InvalidResultError, StepTimeoutError } from "./errors.ts";
import type { Log } from "./log.ts";

/** How long a step may take to end after its signal aborted. */
export const STUCK_AFTER_MS = 5_000;

// The queue refuses more. Asked with a result that takes too long to send, it would
// never answer at all.
const MAX_RESULT_BYTES = 1_048_576;

export interface Attempt {
  /** Resolves as soon as it is known what the attempt came to. */
  outcome: Promise<Outcome>;
  /** Resolves when the step's code has really ended: until then it takes a slot. */
  ended: Promise<void>;
}

/**
 * Starts one attempt of a step. Its return, its own error and the abort of `signal`
 * (whose reason is the error) decide the outcome, and nothing else. What a step
 * returns counts even after its signal aborted: the work is done.
 *
 * A step that goes on after its signal aborted cannot be stopped from inside the
 * process: it is settled for what the abort means, and logged as stuck.
 */
export function execute(
  job: ClaimedJob,
  step: Step,
  { node, signal, log }: { node: string; signal: AbortSignal; log: Log },
): Attempt {
  // A signal of its own: a step that has ended is not told that it lost its lease.
  const stop = new AbortController();
  const onAbort = () => stop.abort(signal.reason);
  signal.addEventListener("abort", onAbort);
  const timer = setTimeout(() => stop.abort(new StepTimeoutError(job.timeoutMs)), job.timeoutMs);

  const running = (async () =>
    step.run({
      input: job.input,
      results: job.results,
      signal: stop.signal,
      log: log.child({}),
      attempt: job.attempt,
      node,
      run: { id: job.runId },
      step: job.step,
      workflow: job.workflow,
    }))();
  const ended = running.then(
    () => {},
    () => {},
  );

  const outcome = Promise.race([running, stuck(stop.signal, ended, log)])
    .then((result): Outcome => ({ outcome: "succeeded", result: toJson(result ?? null) }))
    .catch((error: unknown) => classify(stop.signal.aborted ? stop.signal.reason : error))
    .finally(() => {
      clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
    });
  return { outcome, ended };
}

/** The result as it will be read back, whatever the compiler believed that it is. */
function toJson(result: unknown): JsonValue {
  let json: string | undefined;
  try {
    json = JSON.stringify(result);
  } catch (cause) {
    throw new InvalidResultError("the result cannot be written as JSON", { cause });
  }
  if (json === undefined) throw new InvalidResultError(`a ${typeof result} is not JSON`);
  const bytes = Buffer.byteLength(json);
  if (bytes > MAX_RESULT_BYTES) {
    throw new InvalidResultError(
      `the result holds ${bytes} bytes of ${MAX_RESULT_BYTES}: store it elsewhere and return a reference`,
    );
  }
  return JSON.parse(json) as JsonValue;
}

/** Rejects with the signal's reason when the step has not ended a while after its abort. */
function stuck(signal: AbortSignal, ended: Promise<void>, log: Log): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener("abort", () => {
      const timer = setTimeout(() => {
        log.error({ err: signal.reason }, "step goes on after its abort: it keeps its slot");
        reject(signal.reason);
      }, STUCK_AFTER_MS);
      void ended.then(() => clearTimeout(timer));
    });
  });
}
