import type { MissedPolicy, OverlapPolicy, RunPlan, Schedule as Timing } from "@loom/workflow";
import { z } from "zod";
import type { Call } from "./call.ts";
import type { PageOptions } from "./lists.ts";
import { toPlannedRow } from "./planned-job.ts";
import { instant, jsonText, row } from "./row.ts";
import { type StartedRun, startedRun } from "./run.ts";
import { toStorable } from "./storable-text.ts";

/** Everything that can become of a due slot. */
export const slotOutcomes = ["fired", "late", "merged", "skipped", "missed"] as const;

const scheduleSlot = z.object({
  /** The schedule and the instant: `nightly@2026-11-22T03:00:00Z`. */
  id: z.string(),
  slotAt: instant,
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
  decidedAt: instant,
});
/** A moment at which a schedule was due, with what became of it. */
export type ScheduleSlot = z.output<typeof scheduleSlot>;

const schedule = z.object({
  id: z.string(),
  workflow: z.string(),
  expression: z.string(),
  timeZone: z.string(),
  input: jsonText,
  overlap: z.enum(["skip", "queue-one", "allow"] satisfies OverlapPolicy[]),
  missed: z.union([z.enum(["skip", "once"]), z.object({ all: z.int() })]),
  graceMs: z.int(),
  /** While it is, its slots start nothing. */
  pausedAt: instant.nullable(),
  pauseNote: z.string().nullable(),
  /** Slots up to here have their outcome. */
  decidedUntil: instant,
  /** Rises with every change that a decision depends on. */
  revision: z.int(),
  createdAt: instant,
  /** No workflow of the leading hub defines it any more. */
  removedAt: instant.nullable(),
  /** A run of it has not finished. */
  running: z.boolean(),
  /** The slot whose run waits for that. */
  queued: z.string().nullable(),
  lastSlot: row(scheduleSlot).nullable(),
});
/** A schedule as the database knows it, with what deciding its slots depends on. */
export type Schedule = z.output<typeof schedule>;

/** A schedule as a workflow defines it. */
export interface ScheduleDefinition extends Timing {
  readonly id: string;
  readonly workflow: string;
  readonly missed: MissedPolicy;
}

/** A due slot as it is written: what `decideSlots` of `@loom/scheduler` says of it. */
export interface NewSlot {
  readonly id: string;
  readonly at: Date;
  readonly outcome: ScheduleSlot["outcome"];
  readonly start?: "now" | "after-running";
  readonly into?: string;
  readonly code?: string;
  readonly reason?: string;
}

/** What was decided of a schedule's due slots, and what it was decided by. */
export interface DecidedSlots {
  schedule: string;
  /** Of the schedule, when it was read. */
  revision: number;
  /** In the order of time, at most 1000. */
  slots: readonly NewSlot[];
  decidedUntil: Date;
  /** Of the runs that start now; null where none does. */
  plan: RunPlan | null;
}

// `deposed`: another hub has taken the lead over, and nothing was written.
const written = z.object({ answer: z.enum(["written", "deposed"]) });
const decided = z.object({
  answer: z.enum(["written", "changed", "deposed"]),
  started: z.array(z.string()),
});
const queuedStarted = z.discriminatedUnion("answer", [
  z.object({ answer: z.enum(["waiting", "deposed"]) }),
  z.object({ answer: z.literal("started"), runId: z.string() }),
]);

/**
 * When workflows start by themselves. What only the leading hub may do takes the epoch of its
 * lead, and answers `deposed` when another one has taken over.
 */
export interface Schedules {
  /** Makes the schedules those that are given; the others stop. @see sql/sync_schedules.sql */
  syncSchedules(
    definitions: readonly ScheduleDefinition[],
    epoch: number,
  ): Promise<z.output<typeof written>["answer"]>;

  /** Every schedule, by id, and the database's time of the answer. @see sql/list_schedules.sql */
  listSchedules(): Promise<{ now: Date; schedules: Schedule[] }>;

  /**
   * Writes slots with their runs, all or nothing. Answers `changed` when the schedule is not as it was
   * read any more, also when this was written before: read it again.
   *
   * @returns With the runs that were started.
   * @see sql/decide_slots.sql
   */
  decideSlots(decision: DecidedSlots, epoch: number): Promise<z.output<typeof decided>>;

  /**
   * Starts the run of the slot that is queued, unless an earlier run goes on.
   *
   * @see sql/start_queued_slot.sql
   */
  startQueuedSlot(
    scheduleId: string,
    plan: RunPlan,
    epoch: number,
  ): Promise<z.output<typeof queuedStarted>>;

  /**
   * Slots of a schedule, newest first; null when there is no such schedule.
   *
   * @see sql/list_slots.sql
   */
  listSlots(
    scheduleId: string,
    options?: PageOptions<Date>,
  ): Promise<{ slots: ScheduleSlot[]; next: Date | null } | null>;

  /**
   * Starts a run now, whatever the schedule's policies say; null when there is no such schedule.
   *
   * @throws QueueRequestError `SCHEDULE_REMOVED`.
   * @see sql/trigger_schedule.sql
   */
  triggerSchedule(
    scheduleId: string,
    plan: RunPlan,
    options?: { askedBy?: string; traceparent?: string },
  ): Promise<StartedRun | null>;

  /** False when there is no such schedule. @see sql/pause_schedule.sql */
  pauseSchedule(scheduleId: string, note?: string): Promise<boolean>;
  /** False when there is no such schedule. @see sql/pause_schedule.sql */
  resumeSchedule(scheduleId: string): Promise<boolean>;
}

export function schedules(call: Call): Schedules {
  const setPaused = async (id: string, paused: boolean, note?: string) => {
    const kept = note === undefined ? null : toStorable(note);
    const args = { p_schedule: id, p_paused: paused, p_note: kept };
    const answer = z.object({ paused: z.boolean() }).nullable();
    return (await call("loom_pause_schedule", args, answer)) !== null;
  };

  return {
    async syncSchedules(definitions, epoch) {
      const args = { p_schedules: definitions.map(toDefinitionRow), p_epoch: epoch };
      return (await call("loom_sync_schedules", args, written)).answer;
    },

    listSchedules: () =>
      call(
        "loom_list_schedules",
        {},
        z.object({ now: instant, schedules: z.array(row(schedule)) }),
      ),

    decideSlots: ({ schedule: id, revision, slots, decidedUntil, plan }, epoch) =>
      call(
        "loom_decide_slots",
        {
          p_schedule: id,
          p_revision: revision,
          p_epoch: epoch,
          p_slots: slots.map((slot) => ({ ...slot, at: slot.at.toISOString() })),
          p_decided_until: decidedUntil.toISOString(),
          p_plan: plan && toPlanRow(plan),
        },
        decided,
      ),

    startQueuedSlot: (id, plan, epoch) =>
      call(
        "loom_start_queued_slot",
        { p_schedule: id, p_epoch: epoch, p_plan: toPlanRow(plan) },
        row(queuedStarted),
      ),

    listSlots: (id, { after, limit = 50 } = {}) =>
      call(
        "loom_list_slots",
        { p_schedule: id, p_after: after?.toISOString() ?? null, p_limit: limit },
        z.object({ slots: z.array(row(scheduleSlot)), next: instant.nullable() }).nullable(),
      ),

    triggerSchedule: (id, plan, { askedBy, traceparent } = {}) =>
      call(
        "loom_trigger_schedule",
        { p_schedule: id, p_plan: toPlanRow(plan, traceparent), p_asked_by: askedBy ?? null },
        row(startedRun).nullable(),
      ),

    pauseSchedule: (id, note) => setPaused(id, true, note),
    resumeSchedule: (id) => setPaused(id, false),
  };
}

const toPlanRow = ({ version, input, jobs }: RunPlan, traceparent?: string) => ({
  version,
  input: JSON.stringify(input),
  jobs: jobs.map((planned) => toPlannedRow(planned, traceparent)),
});

const toDefinitionRow = ({ id, workflow, ...definition }: ScheduleDefinition) => ({
  id,
  workflow,
  expression: definition.expression,
  time_zone: definition.timeZone,
  input: JSON.stringify(definition.input),
  overlap: definition.overlap,
  missed: definition.missed,
  grace_ms: definition.graceMs,
});
