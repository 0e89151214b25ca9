import type { JsonValue, Preference, RetryPolicy } from "@loom/workflow";
import { z } from "zod";
import { JobNotFoundError } from "./errors.ts";
import { type Call, type CallOptions, type PageOptions, toStorable } from "./transport/call.ts";
import { instant, isUuid, row, rows, shownJson } from "./transport/rows.ts";

/** Jobs, with or without a run. */
export interface Jobs {
  /**
   * Adds single jobs without a run, up to 1000 at once; all or none.
   *
   * @throws QueueRequestError `INPUT_TOO_LARGE`, `INVALID_ARGUMENT`.
   * @see sql/jobs.sql
   */
  enqueue(jobs: readonly NewJob[]): Promise<EnqueuedJob[]>;

  /**
   * Reads a job.
   *
   * @throws JobNotFoundError
   * @see sql/jobs.sql
   */
  getJob(jobId: number): Promise<Job>;

  /**
   * Cancels jobs. The answer is `cancelled`, `requested` if a node runs the job and has to stop it,
   * or `finished` if it had already ended.
   *
   * @see sql/jobs.sql
   */
  cancel(
    jobIds: readonly number[],
  ): Promise<{ id: number; answer: "cancelled" | "requested" | "finished" | "unknown" }[]>;

  /**
   * Adds a copy of failed or cancelled jobs that belong to no run. A job gets one copy, however
   * often this is called.
   *
   * @returns The copy of each job; null for a job that cannot be redriven.
   * @see sql/jobs.sql
   */
  redrive(
    jobIds: readonly number[],
    options?: { traceparent?: string },
  ): Promise<{ id: number; redrivenAs: number | null }[]>;

  /** Stops placing and claiming a workflow's jobs; running jobs go on. @see sql/workflows.sql */
  pauseWorkflow(workflow: string, note?: string): Promise<void>;

  /** Ends a pause. @see sql/workflows.sql */
  resumeWorkflow(workflow: string): Promise<void>;

  /**
   * Lists jobs, newest first, page by page. One call reads at most 10 000 rows: a page can be short
   * or empty and still have a `next`. The last page has none.
   *
   * @see sql/jobs.sql
   */
  listJobs(
    filter?: JobFilter & PageOptions<number>,
  ): Promise<{ jobs: JobSummary[]; next: number | null }>;

  /** Lists the paused workflows by name. @see sql/workflows.sql */
  listPaused(): Promise<PausedWorkflow[]>;
}

export const jobs = (call: Call, { notify }: CallOptions): Jobs => ({
  enqueue: (jobs) =>
    call("loom_enqueue_jobs", { ...toColumns(jobs), p_notify: notify }, z.array(enqueuedJob)),

  async getJob(jobId) {
    const found = await call("loom_get_job", { p_job: jobId }, row(job).nullable());
    if (!found) throw new JobNotFoundError(jobId);
    return found;
  },

  cancel: (jobIds) => call("loom_cancel_jobs", { p_jobs: jobIds }, z.array(cancelAnswer)),

  redrive: (jobIds, { traceparent } = {}) =>
    call(
      "loom_redrive_jobs",
      { p_jobs: jobIds, p_traceparent: traceparent ?? null },
      z.array(row(z.object({ id: z.int(), redrivenAs: z.int().nullable() }))),
    ),

  async pauseWorkflow(workflow, note) {
    const kept = note === undefined ? null : toStorable(note);
    const args = { p_workflow: workflow, p_paused: true, p_note: kept };
    await call("loom_pause_workflow", args, z.unknown());
  },

  async resumeWorkflow(workflow) {
    await call("loom_pause_workflow", { p_workflow: workflow, p_paused: false }, z.unknown());
  },

  async listJobs({ workflow, state, node, runId, after, limit = 50 } = {}) {
    if (runId !== undefined && !isUuid(runId)) return { jobs: [], next: null };
    return call(
      "loom_list_jobs",
      {
        p_workflow: workflow ?? null,
        p_state: state ?? null,
        p_node: node ?? null,
        p_run: runId ?? null,
        p_after: after ?? null,
        p_limit: limit,
      },
      z.object({ jobs: rows(jobSummary), next: z.int().nullable() }),
    );
  },

  listPaused: () => call("loom_list_paused", {}, rows(pausedWorkflow)),
});

/** Every state of a job. */
export const jobStates = [
  "blocked",
  "suspended",
  "mapping",
  "waiting",
  "pending",
  "running",
  "succeeded",
  "failed",
  "cancelled",
  "skipped",
] as const;

/** Why a step was skipped. docs/forms.md has the rules. */
const skipReasons = ["need_failed", "need_skipped", "nothing_failed", "condition"] as const;
const mapItem = z.object({ of: z.int(), index: z.int() });

const itemCounts = z.object({
  total: z.int().nullable(),
  made: z.int(),
  succeeded: z.int(),
  failed: z.int(),
  cancelled: z.int(),
});

const shared = {
  id: z.int(),
  /** Null: a single job without a run, with its input in `payload`. */
  runId: z.string().nullable(),
  workflow: z.string(),
  step: z.string(),
  /** Unique within its workflow. */
  key: z.string().nullable(),
  payload: shownJson.nullable(),
  /** Set for an item of a step: the step's job and the place in its list, from 0. Its `payload` is the item. */
  item: mapItem.nullable(),
  /** Set for a step that maps over a list: its items, of which `made` have a job. `total` is null until the list is read. */
  items: itemCounts.nullable(),
  after: z.array(z.string()),
  runsAfter: z.enum(["success", "failure", "always"]),
  /** Whether its failure passes. */
  optional: z.boolean(),
  requires: z.array(z.string()),
  /** The author named the node, so the job is never placed elsewhere. */
  hostPinned: z.boolean(),
  /** That node; null if the job is placed. */
  pinnedTo: z.string().nullable(),
  priority: z.int(),
  /** Counts from 1. Attempts that ended because a node was lost do not count. */
  attempt: z.int(),
  maxAttempts: z.int(),
  /** How often a node was lost while running it. */
  crashRestarts: z.int(),
  /** Not due before this instant. */
  runAt: instant,
  /** The job expires if it has not started by this time. */
  startBy: instant.nullable(),
  /**
   * Nodes that gave it back before they started it, one entry each time, newest last; the last 20.
   */
  declinedBy: z.array(z.string()),
  /** Nodes that were lost while they ran it, one entry each time, newest last. */
  crashedOn: z.array(z.string()),
  concurrencyKey: z.string().nullable(),
  concurrencyLimit: z.int().nullable(),
  createdAt: instant,
  /** The node of the newest claim, kept when the claim is over. */
  ranOn: z.string().nullable(),
  /** The error of the last failed attempt. */
  error: shownJson.nullable(),
  /** The size of its result and error if `getRun` leaves them out; `getJob` returns them. */
  omittedBytes: z.int().nullable(),
};

/** The reason why a job has no node yet, as the placing loop last wrote it. */
export const waitingReason = z
  .looseObject({ code: z.string(), summary: z.string() })
  // The reason is only for people, so an unreadable one must not hide the job.
  .catch({ code: "unreadable", summary: "the stored reason cannot be read" });

export type WaitingReason = z.output<typeof waitingReason>;

/** A job as a union on `state`: each state has only the fields that it can have. */
export const job = z.discriminatedUnion("state", [
  z.object({ ...shared, state: z.literal("blocked") }),
  /** Its items have not all ended. */
  z.object({
    ...shared,
    state: z.literal("mapping"),
    claimedAt: instant.nullable(),
    cancelRequestedAt: instant.nullable(),
  }),
  z.object({
    ...shared,
    state: z.literal("suspended"),
    waitingReason: waitingReason.nullable(),
  }),
  z.object({
    ...shared,
    state: z.literal("waiting"),
    waitingReason: waitingReason.nullable(),
  }),
  z.object({
    ...shared,
    state: z.literal("pending"),
    targetHost: z.string(),
    waitingReason: waitingReason.nullable(),
    placement: z.unknown(),
  }),
  z.object({
    ...shared,
    state: z.literal("running"),
    targetHost: z.string(),
    placement: z.unknown(),
    fence: z.int(),
    claimedAt: instant,
    cancelRequestedAt: instant.nullable(),
  }),
  z.object({
    ...shared,
    state: z.literal("succeeded"),
    /** Null for a step whose items ran, on nodes of their own. */
    targetHost: z.string().nullable(),
    placement: z.unknown(),
    claimedAt: instant.nullable(),
    finishedAt: instant,
    /** Null if the step returned nothing, and if the result is left out. */
    result: shownJson.nullable(),
  }),
  z.object({
    ...shared,
    state: z.enum(["failed", "cancelled"]),
    claimedAt: instant.nullable(),
    finishedAt: instant,
  }),
  z.object({
    ...shared,
    state: z.literal("skipped"),
    finishedAt: instant,
    skipReason: z.enum(skipReasons),
  }),
]);

export type Job = z.output<typeof job>;

const jobSummary = z.object({
  id: z.int(),
  runId: z.string().nullable(),
  workflow: z.string(),
  step: z.string(),
  item: mapItem.nullable(),
  key: z.string().nullable(),
  state: z.enum(jobStates),
  /** The node that it is offered or pinned to, or that runs it. */
  targetHost: z.string().nullable(),
  ranOn: z.string().nullable(),
  requires: z.array(z.string()),
  priority: z.int(),
  waitingReason: waitingReason.nullable(),
  attempt: z.int(),
  maxAttempts: z.int(),
  crashRestarts: z.int(),
  cancelRequestedAt: instant.nullable(),
  runAt: instant,
  createdAt: instant,
  claimedAt: instant.nullable(),
  finishedAt: instant.nullable(),
});

/** A job as a list shows it: without input and result. */
export type JobSummary = z.output<typeof jobSummary>;

export interface JobFilter {
  workflow?: string | undefined;
  state?: Job["state"] | undefined;
  /** Jobs that are offered to this node, run on it, or ran there last. */
  node?: string | undefined;
  runId?: string | undefined;
}

/** A single job without a run. Fields that are left out get the defaults of a step. */
export interface NewJob {
  workflow: string;
  step: string;
  /** At most 256 KiB as JSON. */
  input: JsonValue;
  /**
   * If the workflow already has a job with this key, that job is returned and no new one is added.
   */
  key?: string;
  requires?: readonly string[];
  prefers?: readonly Preference[];
  /** Pins the job to a node, so that no hub has to place it. */
  host?: string;
  /** 0 to 1000; the lowest goes first. Default 100. */
  priority?: number;
  /** How long until the job is due. Default 0. */
  delayMs?: number;
  /** The job fails with `EXPIRED` when it has not started this long after it is due. */
  startWithinMs?: number;
  /** The timeout of one attempt. Default 600 000. */
  timeoutMs?: number;
  /** Default: one attempt. */
  retry?: RetryPolicy;
  /** How often the job may be lost with its node. Default 3. */
  maxCrashRestarts?: number;
  /** At most `limit` jobs with this key run at a time, on all nodes together. */
  concurrency?: { key: string; limit: number };
  /** The trace that it belongs to: https://www.w3.org/TR/trace-context */
  traceparent?: string;
}

const enqueuedJob = z.object({
  id: z.int(),
  /** `existing`: a job with this key already existed and is returned. */
  returned: z.enum(["created", "existing"]),
});

export type EnqueuedJob = z.output<typeof enqueuedJob>;

/** The jobs as the SQL function reads them: what many have in common once, and the rest in columns. */
function toColumns(jobs: readonly NewJob[]): Record<string, unknown> {
  const specs = new Map<string, number>();
  const specOf = jobs.map((job) => {
    const spec = JSON.stringify(toSpec(job));
    const known = specs.get(spec) ?? specs.size + 1;
    specs.set(spec, known);
    return known;
  });
  return {
    p_specs: [...specs.keys()].map((spec) => JSON.parse(spec)),
    p_payloads: jobs.map(({ input }) => JSON.stringify(input)),
    ...(specs.size > 1 && { p_spec_of: specOf }),
    ...column("p_keys", jobs, ({ key }) => key),
    ...column("p_hosts", jobs, ({ host }) => host),
    ...column("p_delays", jobs, ({ delayMs }) => delayMs),
    ...column("p_concurrency_keys", jobs, ({ concurrency }) => concurrency?.key),
    ...column("p_traceparents", jobs, ({ traceparent }) => traceparent),
  };
}

/** A column of the jobs; none if no job has it. */
function column(name: string, jobs: readonly NewJob[], read: (job: NewJob) => unknown): object {
  const values = jobs.map((job) => read(job) ?? null);
  return values.some((value) => value !== null) ? { [name]: values } : {};
}

function toSpec(job: NewJob): Record<string, unknown> {
  const { attempts, backoff } = job.retry ?? {
    attempts: 1,
    backoff: { kind: "fixed", delayMs: 0, maxDelayMs: 0 },
  };
  return {
    workflow: job.workflow,
    step: job.step,
    requires: job.requires,
    prefers: job.prefers,
    priority: job.priority,
    start_within_ms: job.startWithinMs,
    timeout_ms: job.timeoutMs ?? 600_000,
    max_attempts: attempts,
    max_crash_restarts: job.maxCrashRestarts ?? 3,
    backoff_kind: backoff.kind,
    backoff_ms: backoff.delayMs,
    backoff_max_ms: backoff.maxDelayMs,
    concurrency_limit: job.concurrency?.limit,
  };
}

const cancelAnswer = z.object({
  id: z.int(),
  answer: z.enum(["cancelled", "requested", "finished", "unknown"]),
});

const pausedWorkflow = z.object({
  workflow: z.string(),
  note: z.string().nullable(),
  pausedAt: instant,
});

export type PausedWorkflow = z.output<typeof pausedWorkflow>;
