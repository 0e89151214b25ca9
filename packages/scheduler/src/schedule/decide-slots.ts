import type { Schedule } from "@loom/workflow";
import { checkLimit, dueSlots, slotId, type Timing } from "./due-slots.ts";

// What becomes of every slot that has come due. Two questions, in this order:
//
// 1. Is it in time? A slot that is looked at more than `graceMs` after its instant is overdue, and
//    `missed` says which of those still deserve a run: none ("skip"); one that stands for all of
//    them ("once": the first slot in time if there is one, else the newest overdue one); or the
//    newest n ({ all: n }).
// 2. Does it overlap? Where a run of the schedule has not finished, `overlap` says whether a slot
//    that deserves a run goes without ("skip"), has its run wait ("queue-one": one run at most
//    waits, and stands for the slots after it), or starts beside the other ("allow").

/**
 * What a decision depends on besides the schedule. Read it in the transaction that writes the
 * outcomes.
 */
export interface ScheduleState {
  /** Unique among schedules, and stable: it is part of every slot's id. */
  readonly id: string;
  /** Slots up to here have their outcome; at first, when the schedule was created. */
  readonly decidedUntil: Date;
  /** By the database's clock. */
  readonly now: Date;
  /** Whether a run of this schedule may start, or has started, and has not finished. */
  readonly running: boolean;
  /** Id of the slot whose run waits until the running one has finished. */
  readonly queued: string | null;
  /** Whether somebody stopped the schedule. Its slots come and go, and start nothing. */
  readonly paused: boolean;
}

/** What becomes of a due slot. */
export type SlotOutcome =
  /** It gets a run, in time (`fired`) or after the schedule's grace (`late`). */
  | { readonly outcome: "fired" | "late"; readonly start: "now" | "after-running" }
  /** It gets no run of its own. What becomes of the slot `into` counts for this one too. */
  | { readonly outcome: "merged"; readonly into: string }
  /** It was looked at, and was to get no run. */
  | { readonly outcome: "skipped"; readonly code: "overlap" | "paused"; readonly reason: string }
  /** Nobody looked at it in time, and it is not caught up with. */
  | {
      readonly outcome: "missed";
      readonly code: "too_late" | "too_many_missed";
      readonly reason: string;
    };

/** A due slot with what becomes of it. */
export type DecidedSlot = SlotOutcome & {
  /** Unique, so that it can be the key of the slot's row: `publish@2026-11-22T03:00:00Z`. */
  readonly id: string;
  readonly at: Date;
};

/**
 * Gives every slot in `(decidedUntil, now]` its outcome, the oldest `limit` of them in order.
 *
 * @param options.limit - At least 1; default 1000.
 * @returns The slots, and until when slots are decided with them. That is before `now` when more than
 * `limit` are due: write these, then decide again from there. It never goes back.
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
  // Whether a slot is one of the newest n is known once n slots after it are.
  const due = dueSlots(schedule, decidedUntil, now, { limit: limit + Math.max(most, 1) });
  const firstInTime = now.getTime() - schedule.graceMs;
  const overdue = due.filter((at) => at.getTime() < firstInTime);
  const standIn = due[overdue.length] ?? overdue.at(-1);

  let { running, queued } = state;
  const decide = (at: Date, index: number): SlotOutcome => {
    if (state.paused) return skipped("paused");
    const late = index < overdue.length;
    if (late && schedule.missed === "once" && standIn !== undefined && at !== standIn) {
      return { outcome: "merged", into: slotId(state.id, standIn) };
    }
    if (index < overdue.length - most) return missed(schedule);

    const outcome = late ? "late" : "fired";
    if (schedule.overlap === "allow" || (!running && queued === null)) {
      running = true;
      return { outcome, start: "now" };
    }
    if (schedule.overlap === "skip") return skipped("overlap");
    if (queued !== null) return { outcome: "merged", into: queued };
    queued = slotId(state.id, at);
    return { outcome, start: "after-running" };
  };

  const slots = due
    .slice(0, limit)
    .map((at, index) => ({ id: slotId(state.id, at), at, ...decide(at, index) }));
  const last = slots.at(-1);
  if (due.length > limit && last !== undefined) return { slots, decidedUntil: last.at };
  return { slots, decidedUntil: now < decidedUntil ? decidedUntil : new Date(now) };
}

/** How many overdue slots get a run at most. */
function mostCaughtUp(missed: Schedule["missed"]): number {
  if (missed === "skip") return 0;
  return missed === "once" ? 1 : missed.all;
}

function skipped(code: "overlap" | "paused"): SlotOutcome {
  const reason = {
    overlap: "an earlier run of the schedule had not finished",
    paused: "the schedule was paused",
  }[code];
  return { outcome: "skipped", code, reason };
}

function missed(schedule: Pick<Schedule, "missed" | "graceMs">): SlotOutcome {
  const reason = `nobody looked within ${schedule.graceMs / 1_000} s`;
  const most = mostCaughtUp(schedule.missed);
  return most === 0
    ? { outcome: "missed", code: "too_late", reason: `${reason}, and nothing is caught up with` }
    : {
        outcome: "missed",
        code: "too_many_missed",
        reason: `${reason}, and only the newest ${most} are caught up with`,
      };
}
