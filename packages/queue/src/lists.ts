import { z } from "zod";
import type { Call } from "./call.ts";
import type { Job } from "./job.ts";
import { type RequestRecord, requestPage } from "./request.ts";
import { instant, row } from "./row.ts";

/** Every state of a job. */
export const jobStates = [
  "blocked",
  "waiting",
  "pending",
  "running",
  "succeeded",
  "failed",
  "cancelled",
  "skipped",
] as const;

/** Every status of a run. */
export const runStatuses = ["running", "succeeded", "failed", "cancelled"] as const;

/** What can start a run. */
export const runTriggers = ["api", "manual", "schedule"] as const;

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
  /** How many steps are in each state; those without any are left out. */
  steps: z.partialRecord(z.enum(jobStates), z.int()).nullable(),
  /** That have run a step of it, by name. */
  nodes: z.array(z.string()),
});
/** A run as a list shows it: without input and steps. */
export type RunSummary = z.output<typeof runSummary>;

const jobSummary = z.object({
  id: z.int(),
  runId: z.string().nullable(),
  workflow: z.string(),
  step: z.string(),
  key: z.string().nullable(),
  state: z.enum(jobStates),
  /** The node that it is offered or pinned to, or that runs it. */
  targetHost: z.string().nullable(),
  ranOn: z.string().nullable(),
  requires: z.array(z.string()),
  priority: z.int(),
  waitingReason: z.looseObject({ code: z.string(), summary: z.string() }).nullable(),
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

const pausedWorkflow = z.object({
  workflow: z.string(),
  note: z.string().nullable(),
  pausedAt: instant,
});
export type PausedWorkflow = z.output<typeof pausedWorkflow>;

/** Where to read on, and how much. */
export interface PageOptions<Place> {
  /** `next` of the page before. */
  after?: Place | undefined;
  /** 1 to 500, default 50. */
  limit?: number | undefined;
}

export interface RunFilter {
  workflow?: string | undefined;
  status?: RunSummary["status"] | undefined;
  trigger?: RunSummary["trigger"] | undefined;
  askedBy?: string | undefined;
  /** Started at it or later. */
  since?: Date | undefined;
  /** Started before it. */
  until?: Date | undefined;
}

export interface JobFilter {
  workflow?: string | undefined;
  state?: Job["state"] | undefined;
  /** It is offered to this node, runs on it, or ran there last. */
  node?: string | undefined;
  runId?: string | undefined;
}

/**
 * What there is, newest first, page by page. One call looks at 10 000 rows at most: a page can be
 * short, even empty, and have a next; the last one has none.
 */
export interface Lists {
  /** @see sql/list_runs.sql */
  listRuns(
    filter?: RunFilter & PageOptions<string>,
  ): Promise<{ runs: RunSummary[]; next: string | null }>;
  /** @see sql/list_jobs.sql */
  listJobs(
    filter?: JobFilter & PageOptions<number>,
  ): Promise<{ jobs: JobSummary[]; next: number | null }>;
  /** What was done for those who `actingFor` named. @see sql/list_requests.sql */
  listRequests(
    options?: PageOptions<string>,
  ): Promise<{ requests: RequestRecord[]; next: string | null }>;
  /** Every paused workflow, by name. @see sql/list_paused.sql */
  listPaused(): Promise<PausedWorkflow[]>;
}

export const lists = (call: Call): Lists => ({
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
      z.object({ runs: z.array(row(runSummary)), next: z.string().nullable() }),
    ),

  async listJobs({ workflow, state, node, runId, after, limit = 50 } = {}) {
    // The function takes a uuid; a run of another name has no jobs.
    if (runId !== undefined && !z.guid().safeParse(runId).success) return { jobs: [], next: null };
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
      z.object({ jobs: z.array(row(jobSummary)), next: z.int().nullable() }),
    );
  },

  listRequests: ({ after, limit = 50 } = {}) =>
    call("loom_list_requests", { p_after: after ?? null, p_limit: limit }, requestPage),

  listPaused: () => call("loom_list_paused", {}, z.array(row(pausedWorkflow))),
});
