import type { ClaimedJob } from "@loom/queue";
import type { JsonValue, Step } from "@loom/workflow";
import { classify, type Outcome } from "./classify.ts";
import { StepTimeoutError } from "./errors.ts";
import type { Log } from "./log.ts";

/** How long a step may take to end after its signal aborted. */
const STUCK_AFTER_MS = 5_000;

export interface Attempt {
  /** Resolves as soon as it is known what the attempt came to. */
  outcome: Promise<Outcome>;
  /** Resolves when the step's code has really ended: until then it takes a slot. */
  ended: Promise<void>;
}

/**
 * Starts one attempt of a step. Nothing but its return, its own error and the
 * abort of `signal` (whose reason is the error) decides the outcome.
 *
 * A step that goes on after its signal aborted cannot be stopped from inside the
 * process: it is settled for what the abort means, and logged as stuck.
 */
export function execute(
  job: ClaimedJob,
  step: Step,
  { node, signal, log }: { node: string; signal: AbortSignal; log: Log },
): Attempt {
  const timeout = new AbortController();
  const timer = setTimeout(() => timeout.abort(new StepTimeoutError(job.timeoutMs)), job.timeoutMs);
  const stop = AbortSignal.any([signal, timeout.signal]);

  const running = (async (): Promise<JsonValue> => {
    const result = await step.run({
      input: job.input,
      results: job.results,
      signal: stop,
      log: log.child({}),
      attempt: job.attempt,
      node,
      run: { id: job.runId },
      step: job.step,
      workflow: job.workflow,
    });
    return result ?? null;
  })();
  const ended = running.then(
    () => {},
    () => {},
  );

  const outcome = Promise.race([running, stuck(stop, ended, log)])
    .then(
      (result): Outcome => toSuccess(result),
      (error: unknown): Outcome => classify(stop.aborted ? stop.reason : error),
    )
    .finally(() => clearTimeout(timer));
  return { outcome, ended };
}

/** A result that cannot be written as JSON is the step's failure, not the worker's. */
function toSuccess(result: JsonValue): Outcome {
  try {
    // JSON.stringify leaves out functions and undefined: what comes back is what is stored.
    return { outcome: "succeeded", result: JSON.parse(JSON.stringify(result)) as JsonValue };
  } catch (cause) {
    return classify(new TypeError("the step's result cannot be written as JSON", { cause }));
  }
}

/** Rejects with the signal's reason when the step has not ended a while after its abort. */
function stuck(signal: AbortSignal, ended: Promise<void>, log: Log): Promise<never> {
  return new Promise((_, reject) => {
    const onAbort = () => {
      const timer = setTimeout(() => {
        log.error({}, "step goes on after its signal aborted: it keeps its slot");
        reject(signal.reason);
      }, STUCK_AFTER_MS);
      void ended.then(() => clearTimeout(timer));
    };
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
  });
}
