import { z } from "@hono/zod-openapi";
import { type Schedule, type ScheduleSlot, slotOutcomes } from "@loom/queue";
import { nextSlot } from "@loom/scheduler";
import { withIsoDates } from "./iso-dates.ts";

export const slotView = z
  .object({
    id: z.string(),
    at: z.iso.datetime(),
    outcome: z.enum(slotOutcomes),
    /** Its run starts when the schedule's unfinished one has ended. */
    queued: z.boolean(),
    /** Null also when it is no longer kept. */
    runId: z.string().nullable(),
    /** The slot that stands for it. */
    mergedInto: z.string().nullable(),
    code: z.string().nullable(),
    /** Why it got no run. */
    reason: z.string().nullable(),
    decidedAt: z.iso.datetime(),
  })
  .openapi("ScheduleSlot");

export const scheduleView = z
  .object({
    id: z.string(),
    workflow: z.string(),
    expression: z.string(),
    timeZone: z.string(),
    input: z.unknown(),
    overlap: z.enum(["skip", "queue-one", "allow"]),
    missed: z.union([z.enum(["skip", "once"]), z.object({ all: z.int() })]),
    graceMs: z.int(),
    /** While it is, its slots start nothing. */
    paused: z.object({ note: z.string().nullable(), since: z.iso.datetime() }).nullable(),
    /** No workflow of the leading hub defines it any more. */
    removedAt: z.iso.datetime().nullable(),
    /** A run of it has not finished. */
    running: z.boolean(),
    /** The slot whose run waits for that. */
    queued: z.string().nullable(),
    /** Null where there is none, as when it was removed. */
    nextAt: z.iso.datetime().nullable(),
    lastSlot: slotView.nullable(),
  })
  .openapi("Schedule");

export const toSlotView = ({ slotAt: at, ...slot }: ScheduleSlot): z.output<typeof slotView> =>
  withIsoDates({ ...slot, at });

export function toScheduleView(schedule: Schedule, now: Date): z.output<typeof scheduleView> {
  const { decidedUntil: _, revision: __, createdAt: ___, pausedAt, pauseNote, ...rest } = schedule;
  const next = schedule.removedAt === null ? nextSlot(schedule, now) : null;
  return {
    ...rest,
    paused: pausedAt && { note: pauseNote, since: pausedAt.toISOString() },
    removedAt: schedule.removedAt?.toISOString() ?? null,
    nextAt: next?.toISOString() ?? null,
    lastSlot: schedule.lastSlot && toSlotView(schedule.lastSlot),
  };
}
