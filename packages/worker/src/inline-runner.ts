import type { Outcome } from "./classify.ts";
import { classify } from "./classify.ts";
import type { Log } from "./log.ts";
import { runStep } from "./run-step.ts";
import type { StepRunner } from "./step-runner.ts";

/** How long a step may take to end after its signal aborted. */
const STUCK_AFTER_MS = 5_000;

/**
 * Runs steps inside of this process, for tests and scripts whose steps are values and not files.
 *
 * A step that never yields stops everything else, and one that goes on after its signal aborted
 * cannot be stopped: it is settled for what the abort means, logged as stuck, and keeps its slot.
 */
export function createInlineRunner(): StepRunner {
  return {
    start({ job, step, log, ...task }) {
      const decoder = new TextDecoder();
      task.onStarted();
      const running = runStep(step, job, {
        ...task,
        commandGraceMs: STUCK_AFTER_MS / 2,
        write: (output) =>
          task.write(
            typeof output === "string" ? output : decoder.decode(output, { stream: true }),
          ),
        onGroup: () => {},
      });
      const ended = running.then(() => {});
      return { outcome: Promise.race([running, stuck(task.signal, ended, log)]), ended };
    },
    async close() {},
  };
}

/** Gives the abort's outcome when the step has not ended a while after it. */
function stuck(signal: AbortSignal, ended: Promise<void>, log: Log): Promise<Outcome> {
  return new Promise((resolve) => {
    const onAbort = () => {
      const timer = setTimeout(() => {
        log.error({ err: signal.reason }, "step goes on after its abort: it keeps its slot");
        resolve(classify(signal.reason));
      }, STUCK_AFTER_MS);
      void ended.then(() => clearTimeout(timer));
    };
    signal.addEventListener("abort", onAbort, { once: true });
    void ended.then(() => signal.removeEventListener("abort", onAbort));
  });
}
