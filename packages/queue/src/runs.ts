import type { JsonValue, PlannedJob, PlannedWait, RunPlan } from "@loom/workflow";
import { z } from "zod";
import { RunNotFoundError } from "./errors.ts";
import { job, jobStates, waitingReason } from "./jobs.ts";
import type { Call, PageOptions } from "./transport/call.ts";
import { instant, isUuid, row, rows, shownJson } from "./transport/rows.ts";

/** Selects the steps of a finished run that a retry repeats. */
export type RetrySelection = { mode: "all" | "failed" } | { mode: "from"; step: string };

const retriedStep = z.object({
  step: z.string(),
  /** The steps that it needs and that are repeated too. */
  after: z.array(z.string()),
  requires: z.array(z.string()),
  /** The node that it is pinned to. */
  host: z.string().nullable(),
  /** Set for a step that no node runs. */
  wait: z.looseObject({ kind: z.string() }).nullable(),
});
/** A step as a retry will store it. */
export type RetriedStep = z.output<typeof retriedStep>;

/** Runs of workflows. All steps of a run are stored together. */
export interface Runs {
  /**
   * Starts a run with all its steps, or nothing.
   *
   * @throws QueueRequestError `INPUT_TOO_LARGE` above 256 KiB, `INVALID_ARGUMENT`.
   * @see sql/start.sql
   */
  startRun(plan: RunPlan, options?: StartRunOptions): Promise<StartedRun>;

  /**
   * Reads a run with its jobs. If its results and errors are together larger than
   * `limits.runBytes`, the largest are left out; such a job has `omittedBytes`, and `getJob`
   * returns them.
   *
   * @throws RunNotFoundError
   * @see sql/runs.sql
   */
  getRun(runId: string): Promise<Run>;

  /**
   * Cancels the unfinished steps of a run. The nodes that run them learn of it when they are woken,
   * at the latest with the next heartbeat.
   *
   * @returns The run's status: `running` while a node still has to stop a step.
   * @throws RunNotFoundError
   * @see sql/runs.sql
   */
  cancelRun(runId: string): Promise<Run["status"]>;

  /**
   * Lists the steps that `retryRun` would store, so that they can be checked first. It does not
   * check that the run is finished.
   *
   * @throws RunNotFoundError
   * @see sql/retry.sql
   */
  previewRetry(
    runId: string,
    options: RetrySelection & { version?: string },
  ): Promise<RetriedStep[]>;

  /**
   * Repeats a finished run as a new one. With `failed`, the steps that failed and those that depend on them are
   * repeated, and the others are taken over as they ended; with `from`, also that step and those that depend on it.
   *
   * @param options.version - The version of the workflow's code for the new run. Default: the old
   * run's version, which a node may no longer have.
   * @throws RunNotFoundError
   * @throws QueueRequestError `RUN_NOT_FINISHED`, `NOTHING_TO_RETRY`, `INVALID_ARGUMENT`.
   * @see sql/retry.sql
   */
  retryRun(
    runId: string,
    options: RetrySelection & {
      key?: string;
      version?: string;
      traceparent?: string;
      /** The new run's id, and the input that was signed for it in place of the old one's. */
      signed?: { id: string; input: JsonValue };
    },
  ): Promise<StartedRun>;

  /**
   * Lists runs, newest first, page by page. One call reads at most 10 000 rows: a page can be short
   * or empty and still have a `next`. The last page has none.
   *
   * @see sql/runs.sql
   */
  listRuns(
    filter?: RunFilter & PageOptions<string>,
  ): Promise<{ runs: RunSummary[]; next: string | null }>;
}

export const runs = (call: Call): Runs => ({
  startRun: (plan, { trigger = "api", key, askedBy, retryOf, traceparent, id } = {}) =>
    call(
      "loom_start_run",
      {
        p_workflow: plan.workflow,
        p_version: plan.version,
        p_input: JSON.stringify(plan.input),
        p_raw_input: plan.rawInput === undefined ? null : JSON.stringify(plan.rawInput),
        p_jobs: plan.jobs.map((planned) => toPlannedRow(planned, traceparent)),
        p_trigger: trigger,
        p_key: key ?? null,
        p_asked_by: askedBy ?? null,
        p_retry_of: retryOf ?? null,
        p_id: id ?? null,
      },
      row(startedRun),
    ),

  async getRun(runId) {
    const found = isUuid(runId)
      ? await call("loom_get_run", { p_run: runId }, row(run).nullable())
      : null;
    if (!found) throw new RunNotFoundError(runId);
    return found;
  },

  async cancelRun(runId) {
    const cancelled = isUuid(runId)
      ? await call(
          "loom_cancel_run",
          { p_run: runId },
          z.object({ status: z.enum(["running", "succeeded", "failed", "cancelled"]) }).nullable(),
        )
      : null;
    if (!cancelled) throw new RunNotFoundError(runId);
    return cancelled.status;
  },

  async previewRetry(runId, { mode, version, ...rest }) {
    const args = {
      p_run: runId,
      p_mode: mode,
      p_step: "step" in rest ? rest.step : null,
      p_version: version ?? null,
    };
    const steps = isUuid(runId)
      ? await call("loom_preview_retry", args, z.array(row(retriedStep)).nullable())
      : null;
    if (!steps) throw new RunNotFoundError(runId);
    return steps;
  },

  async retryRun(runId, { mode, key, version, traceparent, signed, ...rest }) {
    const args = {
      p_run: runId,
      p_mode: mode,
      p_step: "step" in rest ? rest.step : null,
      p_key: key ?? null,
      p_version: version ?? null,
      p_traceparent: traceparent ?? null,
      p_id: signed?.id ?? null,
      p_input: signed ? JSON.stringify(signed.input) : null,
    };
    const started = isUuid(runId)
      ? await call("loom_retry_run", args, row(startedRun).nullable())
      : null;
    if (!started) throw new RunNotFoundError(runId);
    return started;
  },

  listRuns: ({ workflow, status, trigger, askedBy, since, until, after, limit = 50 } = {}) =>
    call(
      "loom_list_runs",
      {
        p_workflow: workflow ?? null,
        p_status: status ?? null,
        p_trigger: trigger ?? null,
        p_asked_by: askedBy ?? null,
        p_since: since?.toISOString() ?? null,
        p_until: until?.toISOString() ?? null,
        p_after: after ?? null,
        p_limit: limit,
      },
      z.object({ runs: rows(runSummary), next: z.string().nullable() }),
    ),
});

/** Every status of a run. */
export const runStatuses = ["running", "succeeded", "failed", "cancelled"] as const;

/** What can start a run. */
export const runTriggers = ["api", "manual", "schedule"] as const;

const shared = {
  id: z.string(),
  workflow: z.string(),
  version: z.string(),
  /** The parsed input that the steps get. */
  input: shownJson,
  /** The input as the caller sent it. */
  rawInput: shownJson,
  trigger: z.enum(["api", "manual", "schedule"]),
  askedBy: z.string().nullable(),
  /** The run that this run repeats. */
  retryOf: z.string().nullable(),
  createdAt: instant,
  /** Why nothing of it runs; null while a step runs or is about to, and when it is finished. */
  waitingReason: waitingReason.nullable(),
  /** In the order of the workflow. */
  jobs: rows(job),
};

/** One execution of a workflow. Its status follows from its jobs. */
const run = z.discriminatedUnion("status", [
  z.object({ ...shared, status: z.literal("running") }),
  z.object({
    ...shared,
    status: z.enum(["succeeded", "failed", "cancelled"]),
    finishedAt: instant,
  }),
]);

export type Run = z.output<typeof run>;

export const startedRun = z.object({
  runId: z.string(),
  /** `existing`: a run with this key already existed and is returned. */
  returned: z.enum(["created", "existing"]),
});

export type StartedRun = z.output<typeof startedRun>;

const runSummary = z.object({
  id: z.string(),
  workflow: z.string(),
  version: z.string(),
  status: z.enum(runStatuses),
  trigger: z.enum(runTriggers),
  askedBy: z.string().nullable(),
  retryOf: z.string().nullable(),
  key: z.string().nullable(),
  createdAt: instant,
  finishedAt: instant.nullable(),
  /** Why nothing of it runs; null while a step runs or is about to, and when it is finished. */
  waitingReason: waitingReason.nullable(),
  /** The number of steps in each state. States without steps are left out. */
  steps: z.partialRecord(z.enum(jobStates), z.int()).nullable(),
  /** The nodes that have run a step of it, by name. */
  nodes: z.array(z.string()),
});

/** A run as a list shows it: without input and steps. */
export type RunSummary = z.output<typeof runSummary>;

export interface RunFilter {
  workflow?: string | undefined;
  status?: RunSummary["status"] | undefined;
  trigger?: RunSummary["trigger"] | undefined;
  askedBy?: string | undefined;
  /** Runs that started at this time or later. */
  since?: Date | undefined;
  /** Runs that started before this time. */
  until?: Date | undefined;
}

export interface StartRunOptions {
  /** The run's id, a UUID; default: the database makes one. What is signed for a run names it. */
  id?: string;
  trigger?: "api" | "manual" | "schedule";
  /** A second call with the same key for the same workflow returns the first call's run. */
  key?: string;
  askedBy?: string;
  /** The run that this run repeats with another input. */
  retryOf?: string;
  /** The trace that its steps belong to: https://www.w3.org/TR/trace-context */
  traceparent?: string;
}

/** A job of a plan as `loom_start_run` reads it. */
export const toPlannedRow = (job: PlannedJob, traceparent?: string) => ({
  step: job.step,
  after: job.after,
  requires: job.requires,
  prefers: job.prefers,
  host: job.host,
  priority: job.priority,
  timeout_ms: job.timeoutMs,
  max_attempts: job.retry.attempts,
  backoff_kind: job.retry.backoff.kind,
  backoff_ms: job.retry.backoff.delayMs,
  backoff_max_ms: job.retry.backoff.maxDelayMs,
  max_crash_restarts: job.maxCrashRestarts,
  start_within_ms: job.startWithinMs,
  concurrency_key: job.concurrency?.key,
  concurrency_limit: job.concurrency?.limit,
  // What most steps have is left out, so that it costs nothing.
  ...(job.runsAfter !== "success" && { runs_after: job.runsAfter }),
  ...(job.optional && { optional: true }),
  ...(job.skip === "cascade" && { cascades: true }),
  ...(job.hasCondition && { has_condition: true }),
  ...(job.map && { map: job.map }),
  ...(job.wait && { wait: toWaitRow(job.wait) }),
  traceparent,
});

/** What a step waits for, as `loom_begin_waits` reads it. */
function toWaitRow(wait: PlannedWait): Record<string, unknown> {
  switch (wait.kind) {
    case "sleep":
      return { kind: wait.kind, for_ms: wait.forMs ?? undefined, until: wait.until ?? undefined };
    case "signal": {
      const { kind, event, key, timeoutMs, parses } = wait;
      return {
        ...{ kind, event, key: key ?? undefined, for_ms: timeoutMs ?? undefined },
        ...(parses && { parses }),
      };
    }
    case "approval": {
      const { kind, title, who, timeoutMs, onTimeout, inputSchema, defaultInput } = wait;
      return {
        ...{ kind, title, who, for_ms: timeoutMs ?? undefined, on_timeout: onTimeout },
        ...{ schema: inputSchema ?? undefined, default: defaultInput ?? undefined },
      };
    }
  }
}
