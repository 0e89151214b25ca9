import { eventTypes } from "@loom/workflow/event-types";
import { z } from "zod";
import { runStatus } from "./runs.ts";
import { instant, wholeNumber } from "./values.ts";

export const eventSchema = z
  .object({
    /** Rises with time for the events of one job. */
    seq: z.int(),
    at: instant,
    type: z.enum(eventTypes),
    runId: z.string().nullable(),
    jobId: z.int().nullable(),
    /** The state after the event: of the job, or of the run if there is no job. */
    state: z.string().nullable(),
    node: z.string().nullable(),
    fence: z.int().nullable(),
    detail: z.string().nullable(),
  })
  .meta({ id: "Event" });
export type Event = z.output<typeof eventSchema>;

export const summaryQuery = z.strictObject({
  pastMs: wholeNumber({ min: 60_000, max: 604_800_000 })
    .default(86_400_000)
    .meta({ description: "How far back it goes: a day where it is left out, a week at most" }),
});

export const summarySchema = z
  .object({
    since: instant,
    /** How many runs ended, by outcome; at most 10 000 are counted. */
    runs: z.partialRecord(runStatus, z.int()),
    /** Runs that failed, newest first, up to 50. */
    failures: z.array(
      z.object({
        runId: z.string(),
        workflow: z.string(),
        at: instant,
        /** The step that failed first; null where no step did. */
        step: z.string().nullable(),
        /** Where it ran last. */
        node: z.string().nullable(),
        attempt: z.int().nullable(),
        /** The first line of its error. */
        error: z.string().nullable(),
        /** The newest run that repeats it. */
        repeatedAs: z.string().nullable(),
        repeatedStatus: runStatus.nullable(),
      }),
    ),
    /** When nodes were away, newest first, up to 50. */
    absences: z.array(
      z.object({
        node: z.string(),
        from: instant,
        /** Null while it is away. */
        until: instant.nullable(),
      }),
    ),
    /** Times of schedules that started nothing, by schedule and cause. */
    slots: z.array(
      z.object({
        scheduleId: z.string(),
        decision: z.enum(["missed", "skipped"]),
        code: z.string().nullable(),
        reason: z.string().nullable(),
        count: z.int(),
        firstAt: instant,
        lastAt: instant,
      }),
    ),
    /** The newest events, newest first, up to 30, without those that others cover. */
    events: z.array(
      z.object({
        ...eventSchema.shape,
        /** The workflow of its job or run, while that is kept. */
        workflow: z.string().nullable(),
        step: z.string().nullable(),
      }),
    ),
  })
  .meta({ id: "Summary" });
/** What happened in the last while. */
export type Summary = z.output<typeof summarySchema>;

/** A change that a person or a program requested. */
export const auditEntrySchema = z
  .object({
    at: instant,
    who: z.string(),
    /** The address that the request came from. */
    from: z.string().nullable(),
    action: z.string(),
    subject: z.string().nullable(),
    /** The request's id, as in logs. */
    id: z.string().nullable(),
    /** The beginning of the database's answer. */
    answer: z.string().nullable(),
  })
  .meta({ id: "AuditEntry" });
export type AuditEntry = z.output<typeof auditEntrySchema>;
