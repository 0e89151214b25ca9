import type { Run } from "@loom/queue";
import { workflowCapability } from "@loom/scheduler";
import type { AskedStep } from "./explain/judge-plan.ts";

/** Which steps of a finished run to repeat. */
export type RetryMode = { mode: "all" | "failed" } | { mode: "from"; step: string };

/**
 * The steps that a retry of a run repeats, as they will be stored: for a verdict before they are.
 *
 * @param version - Of the workflow's code that is to run them.
 * @see packages/queue/sql/retry_run.sql, which repeats the same ones
 */
export function planRetry(
  run: Run,
  what: RetryMode,
  version: string,
): (AskedStep & { after: string[] })[] {
  const old = workflowCapability(run.workflow, run.version);
  const code = workflowCapability(run.workflow, version);
  const repeated = new Set<string>();
  return run.jobs.flatMap((job) => {
    const isRepeated =
      what.mode === "all" ||
      job.state !== "succeeded" ||
      (what.mode === "from" && job.step === what.step) ||
      // In the workflow's order: what it comes after is decided.
      job.after.some((step) => repeated.has(step));
    if (!isRepeated) return [];
    repeated.add(job.step);
    return [
      {
        step: job.step,
        after: job.after.filter((step) => repeated.has(step)),
        requires: job.requires.map((clause) => (clause === old ? code : clause)),
        host: job.pinnedTo,
      },
    ];
  });
}
