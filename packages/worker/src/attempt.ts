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

export interface AttemptDeps extends SettleDeps {
  queue: Pick<Queue, "settle" | "appendLog">;
  runner: StepRunner;
  journal: Journal | undefined;
  signal: AbortSignal;
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
  { runner, signal, onProgress, onSettled, ...deps }: AttemptDeps,
): Promise<void> {
  const { log, node } = deps;
  const { id, fence, workflow } = job;
  try {
    if ("declined" in step) {
      const { declined: reason } = step;
      log.warn({ reason }, "job declined");
      await settle({ id, fence, ...decline(reason) }, deps);
      return;
    }
    log.info({}, "step started");
    const output = createAttemptLog({ node, id, fence }, deps);
    const { write } = output;
    const running = execute(runner, { job, step, node, signal, write, onProgress, log });
    const outcome = await running.outcome;
    if (outcome.outcome === "lost") {
      log.warn({}, "lease was lost: the attempt settles nothing");
      await output.end();
    } else {
      const settlement = { id, fence, ...outcome };
      const entry = () => ({ node, workflow, step: job.step, settlement, log: output.unsent() });
      await deliver({ sendLog: output.end, entry }, deps);
      onSettled();
    }
    await running.ended;
  } catch (error) {
    log.error({ err: error }, "attempt could not be settled");
  }
}
