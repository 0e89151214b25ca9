import type { MissedPolicy, OverlapPolicy, RunPlan, Schedule as Timing } from "@loom/workflow";
import { z } from "zod";
import { type StartedRun, startedRun, toPlannedRow } from "./runs.ts";
import { type Call, type PageOptions, toStorable } from "./transport/call.ts";
import { instant, jsonText, row, rows } from "./transport/rows.ts";

/** The possible decisions about a due slot. */
export const slotDecisions = ["fired", "late", "merged", "skipped", "missed"] as const;

const scheduleSlot = z.object({
  /** The schedule and the instant: `nightly@2026-11-22T03:00:00Z`. */
  id: z.string(),
  slotAt: instant,
  decision: z.enum(slotDecisions),
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
});
/** A time at which a schedule was due, with the decision about it. */
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
  /** While the schedule is paused, its slots start nothing. */
  pausedAt: instant.nullable(),
  pauseNote: z.string().nullable(),
  /** Slots up to this time are decided. */
  decidedUntil: instant,
  /** Rises with every change that a decision depends on. */
  revision: z.int(),
  createdAt: instant,
  /** When the leading hub's workflows stopped defining it; null while they do. */
  removedAt: instant.nullable(),
  /** Whether a run of it has not finished. */
  running: z.boolean(),
  /** The slot whose run waits for the unfinished one. */
  queued: z.string().nullable(),
  lastSlot: row(scheduleSlot).nullable(),
});
/**
 * A schedule as the database knows it, with the facts that a decision about its slots depends on.
 */
export type Schedule = z.output<typeof schedule>;

/** A schedule as a workflow defines it. */
export interface ScheduleDefinition extends Timing {
  readonly id: string;
  readonly workflow: string;
  readonly missed: MissedPolicy;
}

/** A due slot to write, as `decideSlots` of `@loom/scheduler` returns it. */
export interface NewSlot {
  readonly id: string;
  readonly at: Date;
  readonly decision: ScheduleSlot["decision"];
  readonly start?: "now" | "after-running";
  readonly into?: string;
  readonly code?: string;
  readonly reason?: string;
}

/** The decision about a schedule's due slots, and the revision that it was made from. */
export interface DecidedSlots {
  schedule: string;
  /** The revision of the schedule when it was read. */
  revision: number;
  /** In the order of time, at most 1000. */
  slots: readonly NewSlot[];
  decidedUntil: Date;
  /** The plan of the runs that start now; null if none starts. */
  plan: RunPlan | null;
}

// `deposed`: another hub has taken over the lead, and nothing was written.
const synced = z.object({
  answer: z.enum(["written", "deposed"]),
  /** Definitions that the tables refuse, each with the reason. */
  refused: z.array(z.object({ id: z.string(), reason: z.string() })),
});
const decided = z.object({
  answer: z.enum(["written", "changed", "deposed"]),
  started: z.array(z.string()),
});
const queuedStarted = z.discriminatedUnion("answer", [
  z.object({ answer: z.enum(["waiting", "skipped", "deposed"]) }),
  z.object({ answer: z.literal("started"), runId: z.string() }),
]);

/**
 * Schedules of workflows. Calls that only the leading hub may make take the epoch of its lead, and
 * return `deposed` when another hub has taken over.
 */
export interface Schedules {
  /**
   * Replaces the schedules by the given ones; schedules that are left out stop. A refused schedule
   * stays as it was.
   *
   * @see sql/schedules.sql
   */
  syncSchedules(
    definitions: readonly ScheduleDefinition[],
    epoch: number,
  ): Promise<z.output<typeof synced>>;

  /** Lists every schedule by id, with the database's time. @see sql/schedules.sql */
  listSchedules(): Promise<{ now: Date; schedules: Schedule[] }>;

  /**
   * Writes slots with their runs, all or nothing. Returns `changed` when the schedule has changed
   * since it was read, including by a lost earlier copy of this call: read it again.
   *
   * @returns Includes the runs that were started.
   * @see sql/slots.sql
   */
  decideSlots(decision: DecidedSlots, epoch: number): Promise<z.output<typeof decided>>;

  /**
   * Lets a schedule continue from now when its slots are decided until a future time, because the
   * database's clock was set back.
   *
   * @returns False when the schedule has changed since it was read, or another hub leads.
   * @see sql/schedules.sql
   */
  rewindSchedule(scheduleId: string, revision: number, epoch: number): Promise<boolean>;

  /**
   * Starts the run of the queued slot, unless an earlier run goes on. With a failure instead of a
   * plan, that slot is skipped.
   *
   * @see sql/slots.sql
   */
  startQueuedSlot(
    scheduleId: string,
    plan: RunPlan | { failure: string },
    epoch: number,
  ): Promise<z.output<typeof queuedStarted>>;

  /**
   * Lists the slots of a schedule, newest first; null if the schedule does not exist.
   *
   * @see sql/schedules.sql
   */
  listSlots(
    scheduleId: string,
    options?: PageOptions<Date>,
  ): Promise<{ slots: ScheduleSlot[]; next: Date | null } | null>;

  /**
   * Starts a run now, regardless of the schedule's policies; null if the schedule does not exist.
   *
   * @throws QueueRequestError `SCHEDULE_REMOVED`.
   * @see sql/slots.sql
   */
  triggerSchedule(
    scheduleId: string,
    plan: RunPlan,
    options?: { askedBy?: string; traceparent?: string },
  ): Promise<StartedRun | null>;

  /** Returns false if the schedule does not exist. @see sql/schedules.sql */
  pauseSchedule(scheduleId: string, note?: string): Promise<boolean>;
  /** Returns false if the schedule does not exist. @see sql/schedules.sql */
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
    syncSchedules(definitions, epoch) {
      const args = { p_schedules: definitions.map(toDefinitionRow), p_epoch: epoch };
      return call("loom_sync_schedules", args, synced);
    },

    listSchedules: () =>
      call("loom_list_schedules", {}, z.object({ now: instant, schedules: rows(schedule) })),

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

    async rewindSchedule(id, revision, epoch) {
      const args = { p_schedule: id, p_revision: revision, p_epoch: epoch };
      const answer = z.object({ answer: z.enum(["rewound", "changed", "deposed"]) });
      return (await call("loom_rewind_schedule", args, answer)).answer === "rewound";
    },

    startQueuedSlot: (id, plan, epoch) =>
      call(
        "loom_start_queued_slot",
        "failure" in plan
          ? { p_schedule: id, p_epoch: epoch, p_plan: null, p_failure: plan.failure }
          : { p_schedule: id, p_epoch: epoch, p_plan: toPlanRow(plan) },
        row(queuedStarted),
      ),

    listSlots: (id, { after, limit = 50 } = {}) =>
      call(
        "loom_list_slots",
        { p_schedule: id, p_after: after?.toISOString() ?? null, p_limit: limit },
        z.object({ slots: rows(scheduleSlot), next: instant.nullable() }).nullable(),
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

const toPlanRow = ({ version, input, rawInput, jobs }: RunPlan, traceparent?: string) => ({
  version,
  input: JSON.stringify(input),
  raw_input: rawInput === undefined ? undefined : JSON.stringify(rawInput),
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
