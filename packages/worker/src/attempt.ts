import type { ClaimedJob, Queue } from "@loom/queue";
import type { Step } from "@loom/workflow";
import { createAttemptLog } from "./attempt-log.ts";
import { decline } from "./classify.ts";
import { deliver } from "./deliver.ts";
import { execute } from "./execute.ts";
import type { Declined } from "./find-step.ts";
import type { Journal } from "./journal.ts";
import type { Progress } from "./run-step.ts";
import { type SettleDeps, settle } from "./settle.ts";
import type { StepRunner } from "./step-runner.ts";
import type { Tracing } from "./tracing.ts";

export interface AttemptDeps extends SettleDeps {
  queue: Pick<Queue, "settle" | "appendLog">;
  runner: StepRunner;
  journal: Journal | undefined;
  tracing: Tracing;
  signal: AbortSignal;
  /** Called with the milliseconds from the claim to the step's code. */
  onStarted: (startMs: number) => void;
  onProgress: (progress: Progress) => void;
  onSettled: () => void;
}

/**
 * One claimed job from its start to its outcome in the database: runs the step, or
 * gives the job back.
 *
 * Never fails. Resolves when the step's code has ended too: until then it takes a slot.
 */
export async function attempt(
  job: ClaimedJob,
  step: Step | Declined,
  { runner, tracing, signal, onStarted, onProgress, onSettled, ...deps }: AttemptDeps,
): Promise<void> {
  const { log, node } = deps;
  const { id, fence, workflow } = job;
  const claimedAt = performance.now();
  try {
    if ("declined" in step) {
      const { declined: reason } = step;
      log.warn({ reason }, "job declined");
      await settle({ id, fence, ...decline(reason) }, deps);
      return;
    }
    const output = createAttemptLog({ node, id, fence }, deps);
    const attributes = { "loom.job": id, "loom.attempt": job.attempt, "loom.node": node };
    const options = { parent: job.traceparent, attributes };
    const { ended } = await tracing.span(`${workflow}/${job.step}`, options, async (span) => {
      const running = execute(runner, {
        job: { ...job, traceparent: span.traceparent },
        step,
        node,
        signal,
        write: output.write,
        onStarted() {
          const startMs = Math.round(performance.now() - claimedAt);
          log.info({ startMs }, "step started");
          span.set({ "loom.start_ms": startMs });
          onStarted(startMs);
        },
        onProgress,
        log,
      });
      const outcome = await running.outcome;
      span.set({ "loom.outcome": outcome.outcome });
      if (outcome.outcome === "lost") {
        log.warn({}, "lease was lost: the attempt settles nothing");
        await output.end();
      } else {
        const settlement = { id, fence, ...outcome };
        const entry = () => ({ node, workflow, step: job.step, settlement, log: output.unsent() });
        await deliver({ sendLog: output.end, entry }, deps);
        onSettled();
      }
      return running;
    });
    await ended;
  } catch (error) {
    log.error({ err: error }, "attempt could not be settled");
  }
}
