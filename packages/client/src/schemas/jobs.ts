import { limits } from "@loom/workflow";
import { z } from "zod";
import { type PageQuery, pageQuery } from "./page.ts";
import { instant, jsonValue, ownKey, type RequestOf, wholeNumber } from "./values.ts";
import { allowUnsatisfiable, stepVerdictSchema } from "./verdict.ts";

export const jobState = z.enum([
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
]);

/** How the steps that a step needs must have ended for it to run. */
export const runsAfter = z.enum(["success", "failure", "always"]);

/** Why a step was skipped. */
export const skipReason = z.enum(["need_failed", "need_skipped", "nothing_failed", "condition"]);

/** Why a waiting job has no node. */
export const waitingReason = z.looseObject({ code: z.string(), summary: z.string() }).nullable();

/** An item of a step that maps over a list: the step's job, and the place in the list from 0. */
const jobItem = z
  .object({ of: z.int(), index: z.int() })
  .nullable()
  .meta({ description: "Set for an item of a step that maps over a list" });

/** The items of a step that maps over a list. */
export const itemCounts = z
  .object({
    total: z.int().nullable().meta({ description: "Null until the list has been read" }),
    made: z.int().meta({ description: "The items that have a job" }),
    succeeded: z.int(),
    failed: z.int(),
    cancelled: z.int(),
  })
  .nullable()
  .meta({ description: "Set for a step that maps over a list: how its items stand" });
export type ItemCounts = NonNullable<z.output<typeof itemCounts>>;

export const jobSummarySchema = z
  .object({
    id: z.int(),
    runId: z.string().nullable(),
    workflow: z.string(),
    step: z.string(),
    item: jobItem,
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
  .meta({ id: "JobSummary" });
export type JobSummary = z.output<typeof jobSummarySchema>;

export const jobSchema = z
  .object({
    ...jobSummarySchema.shape,
    after: z.array(z.string()),
    hostPinned: z.boolean(),
    declinedBy: z.array(z.string()),
    concurrencyKey: z.string().nullable(),
    concurrencyLimit: z.int().nullable(),
    startBy: instant.nullable(),
    /** The number of its newest claim, which also identifies that attempt's log. */
    fence: z.int().nullable(),
    /** Set for a job outside a run, and for an item, which is its input; a step has its run's input. */
    input: z.unknown(),
    items: itemCounts,
    /** The chosen node, and why others were not chosen. */
    placement: z.unknown(),
    result: z.unknown(),
    /** The error of the last failed attempt. */
    error: z.unknown(),
  })
  .meta({ id: "Job" });
export type Job = z.output<typeof jobSchema>;

export const itemSchema = z
  .object({
    /** Its job, whose output and explanation are under `/jobs/{id}`. */
    id: z.int(),
    index: z.int(),
    key: z.string().meta({
      description: "What names it in its list: the property that the workflow says, else the index",
    }),
    state: jobState,
    /** The node that runs or ran it, or that it is offered to. */
    host: z.string().nullable(),
    attempt: z.int(),
    maxAttempts: z.int(),
    crashRestarts: z.int(),
    waitingReason,
    error: z
      .object({ code: z.string().nullable(), message: z.string().nullable() })
      .nullable()
      .meta({ description: "The error of the last failed attempt, without what is very long" }),
    createdAt: instant,
    startedAt: instant.nullable(),
    finishedAt: instant.nullable(),
  })
  .meta({ id: "Item" });
/** An item of a step that maps over a list. */
export type Item = z.output<typeof itemSchema>;

export const itemQuery = z.strictObject({ state: jobState.optional(), ...pageQuery });
export type ItemQuery = Omit<z.input<typeof itemQuery>, keyof PageQuery> & PageQuery;

export const logSchema = z
  .object({
    /** The claim that the output belongs to; null before the first claim. */
    fence: z.int().nullable(),
    /** The start of `text`, in bytes of the attempt's output as UTF-8. */
    offset: z.int(),
    text: z.string(),
    /** The position of the next read. */
    next: z.int(),
  })
  .meta({ id: "Log" });
export type Log = z.output<typeof logSchema>;

/** The id of a job in a path. */
export const jobParams = z.object({ id: wholeNumber({ min: 1, max: Number.MAX_SAFE_INTEGER }) });

export const jobQuery = z.strictObject({
  workflow: z.string().max(100).optional(),
  state: jobState.optional(),
  node: z.string().max(63).optional(),
  runId: z.string().max(100).optional(),
  ...pageQuery,
});
export type JobQuery = Omit<z.input<typeof jobQuery>, keyof PageQuery> & PageQuery;

const newJobSchema = z.strictObject({
  workflow: z.string().max(100),
  step: z.string().max(100),
  input: jsonValue.optional(),
  key: ownKey
    .optional()
    .meta({ description: "A workflow has one job with a key: a second request returns that job" }),
  host: z
    .string()
    .regex(
      /^[a-z0-9][a-z0-9._-]{0,62}$/,
      "must be a node's name: 1 to 63 of a-z, 0-9, dot, underscore and hyphen, beginning with a letter or digit",
    )
    .optional()
    .meta({ description: "Pins it to a node" }),
  priority: z.int().min(0).max(limits.priority).optional(),
  delayMs: z.int().min(0).max(limits.delayMs).optional(),
  startWithinMs: z.int().min(1).max(limits.timerMs).optional(),
});
/** A step that runs outside a run of its workflow. */
export type NewJob = RequestOf<typeof newJobSchema>;

export const addJobsRequest = z.strictObject({
  jobs: z.array(newJobSchema).min(1).max(limits.jobsPerCall),
  allowUnsatisfiable,
});

const addedJobSchema = z.object({
  id: z.int(),
  returned: z.enum(["created", "existing"]),
  verdict: stepVerdictSchema,
});
/** `verdict` predicts the job's fate with the nodes of the moment when it was added. */
export type AddedJob = z.output<typeof addedJobSchema>;
/** In the order of the request. */
export const addedJobsSchema = z.object({ jobs: z.array(addedJobSchema) });

export const cancelledJobSchema = z.object({
  answer: z.enum(["cancelled", "requested", "finished"]),
});
export type CancelledJob = z.output<typeof cancelledJobSchema>;

export const logQuery = z
  .strictObject({
    offset: wholeNumber({ min: 0, max: 2_147_483_647 }).default(0),
    tail: wholeNumber({ min: 0, max: 100_000 }).optional().meta({
      description: "The number of last lines to read; not together with `offset`",
    }),
    fence: wholeNumber({ min: 0, max: 2_147_483_647 }).optional().meta({
      description: "The claim whose output to read; by default the newest",
    }),
  })
  .refine(({ offset, tail }) => offset === 0 || tail === undefined, {
    path: ["tail"],
    error: "must not be given together with offset",
  });
