import { z } from "@hono/zod-openapi";
import { type Job, type JobSummary, jobStates } from "@loom/queue";
import { wholeNumber } from "../whole-number.ts";
import { withIsoDates } from "./iso-dates.ts";

export const jobState = z.enum(jobStates);

/** The id of a job, as a part of a path. */
export const jobParams = z.object({
  id: wholeNumber({ min: 1, max: Number.MAX_SAFE_INTEGER }).openapi({
    param: { name: "id", in: "path" },
  }),
});

const instant = z.iso.datetime();
/** Why no node has it, while it waits. */
export const waitingReason = z.looseObject({ code: z.string(), summary: z.string() }).nullable();

export const jobSummaryView = z
  .object({
    id: z.int(),
    runId: z.string().nullable(),
    workflow: z.string(),
    step: z.string(),
    key: z.string().nullable(),
    state: jobState,
    targetHost: z.string().nullable(),
    ranOn: z.string().nullable(),
    requires: z.array(z.string()),
    priority: z.int(),
    waitingReason,
    attempt: z.int(),
    maxAttempts: z.int(),
    crashRestarts: z.int(),
    cancelRequestedAt: instant.nullable(),
    runAt: instant,
    createdAt: instant,
    claimedAt: instant.nullable(),
    finishedAt: instant.nullable(),
  })
  .openapi("JobSummary");

export const toJobSummary = (job: JobSummary): z.output<typeof jobSummaryView> => withIsoDates(job);

export const jobView = z
  .object({
    ...jobSummaryView.shape,
    after: z.array(z.string()),
    hostPinned: z.boolean(),
    declinedBy: z.array(z.string()),
    concurrencyKey: z.string().nullable(),
    concurrencyLimit: z.int().nullable(),
    startBy: instant.nullable(),
    /** The number of its newest claim: which attempt's log is the newest. */
    fence: z.int().nullable(),
    /** Of a job of its own; a step of a run has its run's. */
    input: z.unknown(),
    /** Which node was chosen, and why no other. */
    placement: z.unknown(),
    result: z.unknown(),
    /** What the last failed attempt left. */
    error: z.unknown(),
  })
  .openapi("Job");

/** A job as the API shows it: what it cannot have in its state is null. */
export function toJobView(job: Job): z.output<typeof jobView> {
  const { payload, ...shared } = job;
  const row = withIsoDates({
    targetHost: null,
    waitingReason: null,
    cancelRequestedAt: null,
    claimedAt: null,
    finishedAt: null,
    fence: null,
    placement: null,
    result: null,
    input: payload,
    ...shared,
  });
  // What is described, and no more: a row has what only the queue needs.
  return jobView.parse(row);
}
