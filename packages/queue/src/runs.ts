import type { RunPlan } from "@loom/workflow";
import { z } from "zod";
import type { Call } from "./call.ts";
import { RunNotFoundError } from "./errors.ts";
import { toPlannedRow } from "./planned-job.ts";
import { row } from "./row.ts";
import { type Run, run, type StartedRun, startedRun } from "./run.ts";

export interface StartRunOptions {
  trigger?: "api" | "manual" | "schedule";
  /** A second call with the same key for the same workflow answers with the first one's run. */
  key?: string;
  askedBy?: string;
  /** The run that this one repeats with another input. */
  retryOf?: string;
  /** The trace that its steps belong to: https://www.w3.org/TR/trace-context */
  traceparent?: string;
}

/** Workflows at work: all steps of a run are stored together. */
export interface Runs {
  /**
   * Starts a run: all its steps, or nothing.
   *
   * @throws QueueRequestError `INPUT_TOO_LARGE` above 256 KiB, `INVALID_ARGUMENT`.
   * @see sql/start_run.sql
   */
  startRun(plan: RunPlan, options?: StartRunOptions): Promise<StartedRun>;

  /**
   * @throws RunNotFoundError
   * @see sql/get_run.sql
   */
  getRun(runId: string): Promise<Run>;

  /**
   * Cancels what is not finished of a run. Running steps learn of it with the next heartbeat.
   *
   * @returns The run's status: `running` while a node still has to stop a step.
   * @throws RunNotFoundError
   * @see sql/cancel_run.sql
   */
  cancelRun(runId: string): Promise<Run["status"]>;

  /**
   * Repeats a finished run as a new one. With `failed`, results of steps that succeeded are taken
   * over; with `from`, those that do not depend on that step.
   *
   * @param options.version - Of the workflow's code that is to run it; default: the old run's, which
   *   a node may no longer have.
   * @throws RunNotFoundError
   * @throws QueueRequestError `RUN_NOT_FINISHED`, `NOTHING_TO_RETRY`, `INVALID_ARGUMENT`.
   * @see sql/retry_run.sql
   */
  retryRun(
    runId: string,
    options: ({ mode: "all" | "failed" } | { mode: "from"; step: string }) & {
      key?: string;
      version?: string;
      traceparent?: string;
    },
  ): Promise<StartedRun>;
}

export const runs = (call: Call): Runs => ({
  startRun: (plan, { trigger = "api", key, askedBy, retryOf, traceparent } = {}) =>
    call(
      "loom_start_run",
      {
        p_workflow: plan.workflow,
        p_version: plan.version,
        p_input: JSON.stringify(plan.input),
        p_jobs: plan.jobs.map((planned) => toPlannedRow(planned, traceparent)),
        p_trigger: trigger,
        p_key: key ?? null,
        p_asked_by: askedBy ?? null,
        p_retry_of: retryOf ?? null,
      },
      row(startedRun),
    ),

  async getRun(runId) {
    // The function takes a uuid; anything else is simply not the id of a run.
    const found = z.guid().safeParse(runId).success
      ? await call("loom_get_run", { p_run: runId }, row(run).nullable())
      : null;
    if (!found) throw new RunNotFoundError(runId);
    return found;
  },

  async cancelRun(runId) {
    const cancelled = z.guid().safeParse(runId).success
      ? await call(
          "loom_cancel_run",
          { p_run: runId },
          z.object({ status: z.enum(["running", "succeeded", "failed", "cancelled"]) }).nullable(),
        )
      : null;
    if (!cancelled) throw new RunNotFoundError(runId);
    return cancelled.status;
  },

  async retryRun(runId, { mode, key, version, traceparent, ...rest }) {
    const args = {
      p_run: runId,
      p_mode: mode,
      p_step: "step" in rest ? rest.step : null,
      p_key: key ?? null,
      p_version: version ?? null,
      p_traceparent: traceparent ?? null,
    };
    const started = z.guid().safeParse(runId).success
      ? await call("loom_retry_run", args, row(startedRun).nullable())
      : null;
    if (!started) throw new RunNotFoundError(runId);
    return started;
  },
});
