import { parseCron, type Schedule } from "@loom/workflow";
import { createZone, type Zone } from "./zone.ts";

// The instants that a schedule names, and the effect of clock changes.
//
// A pattern describes what a wall clock shows when a run is due. While the zone's offset stays the
// same, instants and readings correspond one to one. At a change they do not, and the kind of
// pattern decides (`CronPattern.follows`):
//
// - A pattern of the calendar ("30 2 * * *", "0,30 1-3 * * 1") has every reading that it names
//   exactly once a day. Readings that the clocks skip are due together, once, at the first instant
//   after the jump. A reading that comes twice is due only the first time.
// - A pattern of elapsed time ("*/15 * * * *", "0 */2 * * *") is due whenever the clocks show a
//   reading that it names: never if they skip it, twice if they go back.

const SECOND_MS = 1_000;

/** The longest period that clocks can show twice: they were never set back by more. */
const LONGEST_REPEAT_MS = 86_400_000;

/** When a schedule is due: a cron expression, read by the clocks of an IANA zone. */
export type Timing = Pick<Schedule, "expression" | "timeZone">;

/**
 * Returns the instants in `(from, to]` at which a schedule is due, in order: the oldest `limit` of
 * them. If there are `limit`, call again from the last one. There are none before 1970.
 *
 * @param options.limit - At least 1; default 1000.
 * @throws InvalidScheduleError when expression or zone cannot be read.
 */
export function dueSlots(
  timing: Timing,
  from: Date,
  to: Date,
  { limit = 1_000 }: { limit?: number } = {},
): Date[] {
  checkLimit(limit);
  const end = instantOf(to);
  const slots: Date[] = [];
  for (const slot of slotsAfter(timing, instantOf(from))) {
    if (slot > end) break;
    slots.push(new Date(slot));
    if (slots.length === limit) break;
  }
  return slots;
}

/**
 * Returns the first instant strictly after `after` at which a schedule is due, or `null` when its
 * expression names a day that never comes.
 *
 * @throws InvalidScheduleError when expression or zone cannot be read.
 */
export function nextSlot(timing: Timing, after: Date): Date | null {
  const { value } = slotsAfter(timing, instantOf(after)).next();
  return value === undefined ? null : new Date(value);
}

/** Returns the permanent name of a slot, the same in every hub: `publish@2026-11-22T03:00:00Z`. */
export function slotId(scheduleId: string, at: Date): string {
  return `${scheduleId}@${at.toISOString().replace(/\.\d+/, "")}`;
}

/** Yields every slot after an instant, each strictly later than the one before. */
function* slotsAfter(
  { expression, timeZone }: Timing,
  after: number,
): Generator<number, undefined> {
  const pattern = parseCron(expression);
  const zone = createZone(timeZone);
  // Every second up to and including `at` has been handled; later ones are read with `offset`.
  // Instants before 1970 are skipped, because clocks changed too irregularly then.
  let at = Math.max(0, Math.floor(after / SECOND_MS) * SECOND_MS);
  let offset = zone.offsetAt(at);
  if (pattern.follows === "calendar") at = skipRepeat(zone, at);
  for (;;) {
    const reading = pattern.next(at + offset);
    if (reading === null) return undefined;
    const slot = reading - offset;
    const change = zone.nextChange(at, slot, offset);
    if (change === null) {
      yield slot;
      at = slot;
      continue;
    }
    at = change.at - SECOND_MS;
    offset += change.shift;
    if (pattern.follows === "elapsed") continue;
    if (change.shift < 0) {
      at -= change.shift;
    } else if (slot < change.at + change.shift) {
      // The clocks skip the reading: without the change, it would come before the next one.
      yield change.at;
      at = change.at;
    }
  }
}

/** Returns the last second of a repeated period if `at` is in one; else `at`. */
function skipRepeat(zone: Zone, at: number): number {
  const from = at - LONGEST_REPEAT_MS;
  const change = zone.nextChange(from, at, zone.offsetAt(from));
  return change === null ? at : Math.max(at, change.at - change.shift - SECOND_MS);
}

/** With a limit below 1, no slot would ever be decided. */
export function checkLimit(limit: number): void {
  if (Number.isInteger(limit) && limit >= 1) return;
  throw new RangeError(`limit must be a whole number from 1, not ${limit}`);
}

function instantOf(date: Date): number {
  const instant = date.getTime();
  if (Number.isNaN(instant)) throw new RangeError("an invalid Date is not an instant");
  return instant;
}
