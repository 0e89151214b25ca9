import { z } from "zod";
import { instant, type RequestOf } from "./values.ts";
import { allowUnsatisfiable } from "./verdict.ts";

export const scheduleSlotSchema = z
  .object({
    id: z.string(),
    at: instant,
    decision: z.enum(["fired", "late", "merged", "skipped", "missed"]),
    /** Whether its run starts when the schedule's unfinished run has ended. */
    queued: z.boolean(),
    /** The run; also null when the run is no longer kept. */
    runId: z.string().nullable(),
    /** The slot whose run also counts for this one. */
    mergedInto: z.string().nullable(),
    code: z.string().nullable(),
    /** Why it got no run. */
    reason: z.string().nullable(),
    decidedAt: instant,
  })
  .meta({ id: "ScheduleSlot" });
/** A time at which a schedule was due, and the decision about it. */
export type ScheduleSlot = z.output<typeof scheduleSlotSchema>;

export const scheduleSchema = z
  .object({
    id: z.string(),
    workflow: z.string(),
    expression: z.string(),
    timeZone: z.string(),
    input: z.unknown(),
    overlap: z.enum(["skip", "queue-one", "allow"]),
    missed: z.union([z.enum(["skip", "once"]), z.object({ all: z.int() })]),
    graceMs: z.int(),
    /** While a schedule is paused, its slots start nothing. */
    paused: z.object({ note: z.string().nullable(), since: instant }).nullable(),
    /** When the leading hub's workflows stopped defining it. */
    removedAt: instant.nullable(),
    /** Whether a run of it has not finished. */
    running: z.boolean(),
    /** The slot whose run waits for the unfinished one. */
    queued: z.string().nullable(),
    /** Null for a removed schedule, and if no time matches. */
    nextAt: instant.nullable(),
    lastSlot: scheduleSlotSchema.nullable(),
  })
  .meta({ id: "Schedule" });
export type Schedule = z.output<typeof scheduleSchema>;

export const triggerRequest = z.strictObject({ allowUnsatisfiable });
export type TriggerRequest = RequestOf<typeof triggerRequest>;
