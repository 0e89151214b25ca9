import type { Schedule } from "@loom/workflow";
import { checkLimit, dueSlots, slotId, type Timing } from "./due-slots.ts";

// A decision about a due slot answers two questions, in this order:
//
// 1. Is the slot in time? It is overdue when it is decided more than `graceMs` after its instant.
//    `missed` says which overdue slots still get a run: none ("skip"); one on behalf of all
//    ("once": the first slot in time if there is one, else the newest overdue one); or the newest n
//    ({ all: n }).
// 2. Does the slot overlap an unfinished run of the schedule? `overlap` says whether the slot then
//    gets no run ("skip"), gets one that starts afterwards ("queue-one": at most one run waits, on
//    behalf of the slots after it too), or gets one that starts now ("allow").

/**
 * The facts that a decision depends on besides the schedule. Read them in the transaction that
 * writes the decisions.
 */
export interface ScheduleState {
  /** Unique among schedules, and stable, because it is part of every slot's id. */
  readonly id: string;
  /**
   * Slots up to this time are decided. At first, it is the time of the schedule's creation.
   */
  readonly decidedUntil: Date;
  /** By the database's clock. */
  readonly now: Date;
  /** Whether an unfinished run of this schedule exists or may exist. */
  readonly running: boolean;
  /** The id of the slot whose run waits for the unfinished one. */
  readonly queued: string | null;
  /** Whether the schedule is paused. Its slots then start nothing. */
  readonly paused: boolean;
}

/** A decision about a due slot. */
export type SlotDecision =
  /** It gets a run, in time (`fired`) or after the schedule's grace (`late`). */
  | { readonly decision: "fired" | "late"; readonly start: "now" | "after-running" }
  /** It gets no run of its own. The decision about the slot `into` counts for this one too. */
  | { readonly decision: "merged"; readonly into: string }
  /** It was decided in time, but gets no run. */
  | { readonly decision: "skipped"; readonly code: "overlap" | "paused"; readonly reason: string }
  /** It was not decided in time, and gets no late run. */
  | {
      readonly decision: "missed";
      readonly code: "too_late" | "too_many_missed";
      readonly reason: string;
    };

/** A due slot with the decision about it. */
export type DecidedSlot = SlotDecision & {
  /** Unique, because it is the key of the slot's row: `publish@2026-11-22T03:00:00Z`. */
  readonly id: string;
  readonly at: Date;
};

/**
 * Decides about every slot in `(decidedUntil, now]`, the oldest `limit` of them in order.
 *
 * @param options.limit - At least 1; default 1000.
 * @returns The slots, and the time until which slots are decided with them. That time is before
 * `now` when more than `limit` are due: write these, then decide again from there. It never goes
 * back.
 * @throws InvalidScheduleError when expression or zone cannot be read.
 */
export function decideSlots(
  schedule: Timing & Pick<Schedule, "overlap" | "missed" | "graceMs">,
  state: ScheduleState,
  { limit = 1_000 }: { limit?: number } = {},
): { readonly slots: DecidedSlot[]; readonly decidedUntil: Date } {
  checkLimit(limit);
  const { decidedUntil, now } = state;
  const most = mostCaughtUp(schedule.missed);
  // A slot is known to be one of the newest n only when n slots after it are known.
  const due = dueSlots(schedule, decidedUntil, now, { limit: limit + Math.max(most, 1) });
  const firstInTime = now.getTime() - schedule.graceMs;
  const overdue = due.filter((at) => at.getTime() < firstInTime);
  const standIn = due[overdue.length] ?? overdue.at(-1);

  let { running, queued } = state;
  const decide = (at: Date, index: number): SlotDecision => {
    if (state.paused) return skipped("paused");
    const late = index < overdue.length;
    if (late && schedule.missed === "once" && standIn !== undefined && at !== standIn) {
      return { decision: "merged", into: slotId(state.id, standIn) };
    }
    if (index < overdue.length - most) return missed(schedule);

    const decision = late ? "late" : "fired";
    if (schedule.overlap === "allow" || (!running && queued === null)) {
      running = true;
      return { decision, start: "now" };
    }
    if (schedule.overlap === "skip") return skipped("overlap");
    if (queued !== null) return { decision: "merged", into: queued };
    queued = slotId(state.id, at);
    return { decision, start: "after-running" };
  };

  const slots = due
    .slice(0, limit)
    .map((at, index) => ({ id: slotId(state.id, at), at, ...decide(at, index) }));
  const last = slots.at(-1);
  if (due.length > limit && last !== undefined) return { slots, decidedUntil: last.at };
  return { slots, decidedUntil: now < decidedUntil ? decidedUntil : new Date(now) };
}

/** Returns how many overdue slots get a run at most. */
function mostCaughtUp(missed: Schedule["missed"]): number {
  if (missed === "skip") return 0;
  return missed === "once" ? 1 : missed.all;
}

function skipped(code: "overlap" | "paused"): SlotDecision {
  const reason = {
    overlap: "an earlier run of the schedule had not finished",
    paused: "the schedule was paused",
  }[code];
  return { decision: "skipped", code, reason };
}

function missed(schedule: Pick<Schedule, "missed" | "graceMs">): SlotDecision {
  const reason = `no hub decided within ${schedule.graceMs / 1_000} s`;
  const most = mostCaughtUp(schedule.missed);
  return most === 0
    ? {
        decision: "missed",
        code: "too_late",
        reason: `${reason}, and missed slots are not started late`,
      }
    : {
        decision: "missed",
        code: "too_many_missed",
        reason: `${reason}, and only the newest ${most} are started late`,
      };
}
