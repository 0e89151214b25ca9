import { classify } from "./classify.ts";
import { StepTimeoutError } from "./errors.ts";
import type { Attempt, StepRunner, StepTask } from "./step-runner.ts";

/**
 * Starts one attempt of a step. Its return, its own error, its timeout and the abort of `signal`
 * (whose reason is the error) decide the outcome, and nothing else. What a step returns counts
 * even after its signal aborted: the work is done.
 */
export function execute(runner: StepRunner, task: StepTask): Attempt {
  const { job, signal } = task;
  // A signal of its own: a step that has ended is not told that it lost its lease.
  const stop = new AbortController();
  const onAbort = () => stop.abort(signal.reason);
  if (signal.aborted) onAbort();
  signal.addEventListener("abort", onAbort);
  const timer = setTimeout(() => stop.abort(new StepTimeoutError(job.timeoutMs)), job.timeoutMs);

  const { outcome, ended } = runner.start({ ...task, signal: stop.signal });
  return {
    ended,
    outcome: outcome
      .then((came) =>
        came.outcome === "failed" && stop.signal.aborted ? classify(stop.signal.reason) : came,
      )
      .finally(() => {
        clearTimeout(timer);
        signal.removeEventListener("abort", onAbort);
      }),
  };
}
