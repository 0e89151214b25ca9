import { z } from "zod";
import type { Call, CallOptions } from "./call.ts";
import { JobNotFoundError } from "./errors.ts";
import { type Job, job } from "./job.ts";
import { type JobWait, jobWait } from "./job-wait.ts";
import { type LogPage, logPage } from "./log-chunk.ts";
import { type EnqueuedJob, enqueuedJob, type NewJob, toNewRow } from "./new-job.ts";
import { row } from "./row.ts";
import { toStorable } from "./storable-text.ts";

const cancelAnswer = z.object({
  id: z.int(),
  answer: z.enum(["cancelled", "requested", "finished", "unknown"]),
});

/** Jobs, with or without a run. */
export interface Jobs {
  /**
   * Adds jobs of their own, up to 1000 at once; all or none.
   *
   * @throws QueueRequestError `INPUT_TOO_LARGE`, `INVALID_ARGUMENT`.
   * @see sql/enqueue_jobs.sql
   */
  enqueue(jobs: readonly NewJob[]): Promise<EnqueuedJob[]>;

  /**
   * @throws JobNotFoundError
   * @see sql/get_job.sql
   */
  getJob(jobId: number): Promise<Job>;

  /**
   * Reads all that says why a job is not running: what placing weighs of it, and what holds it up.
   *
   * @throws JobNotFoundError
   * @see sql/weigh_job.sql
   */
  weighJob(jobId: number): Promise<JobWait>;

  /**
   * Cancels jobs: `cancelled` at once, `requested` of the node that runs it, or already `finished`.
   *
   * @see sql/cancel_jobs.sql
   */
  cancel(
    jobIds: readonly number[],
  ): Promise<{ id: number; answer: "cancelled" | "requested" | "finished" | "unknown" }[]>;

  /**
   * Adds a copy of failed or cancelled jobs that belong to no run; one copy a job, however often.
   *
   * @returns The copy of each job, null where there is nothing to redrive.
   * @see sql/redrive_jobs.sql
   */
  redrive(
    jobIds: readonly number[],
    options?: { traceparent?: string },
  ): Promise<{ id: number; redrivenAs: number | null }[]>;

  /** Keeps a workflow's jobs from being placed and claimed; what runs goes on. @see sql/pause_workflow.sql */
  pauseWorkflow(workflow: string, note?: string): Promise<void>;

  /** @see sql/pause_workflow.sql */
  resumeWorkflow(workflow: string): Promise<void>;

  /**
   * Reads an attempt's output from a byte on; the newest attempt's by default.
   *
   * @param options.limit - Chunks at most; 1 to 1000, default 100.
   * @see sql/read_log.sql
   */
  readLog(
    jobId: number,
    options?: { fence?: number; from?: number; limit?: number },
  ): Promise<LogPage>;
}

export const jobs = (call: Call, { notify }: CallOptions): Jobs => ({
  enqueue: (jobs) =>
    call(
      "loom_enqueue_jobs",
      { p_jobs: jobs.map(toNewRow), p_notify: notify },
      z.array(enqueuedJob),
    ),

  async getJob(jobId) {
    const found = await call("loom_get_job", { p_job: jobId }, row(job).nullable());
    if (!found) throw new JobNotFoundError(jobId);
    return found;
  },

  async weighJob(jobId) {
    const found = await call("loom_weigh_job", { p_job: jobId }, row(jobWait).nullable());
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

  readLog: (jobId, { fence, from = 0, limit = 100 } = {}) =>
    call(
      "loom_read_log",
      { p_job: jobId, p_fence: fence ?? null, p_from: from, p_limit: limit },
      logPage,
    ),
});
