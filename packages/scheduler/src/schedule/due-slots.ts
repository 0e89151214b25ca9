import { parseCron, type Schedule } from "@loom/workflow";
import { createZone, type Zone } from "./zone.ts";

// Which instants a schedule names, and what happens when the clocks change.
//
// A pattern says what a clock on the wall shows when a run is due. Where the zone's offset stays
// the same, instants and readings are one to one. At a change they are not, and the pattern decides
// (`CronPattern.follows`):
//
// - A pattern of the calendar ("30 2 * * *", "0,30 1-3 * * 1") has every reading that it names
//   exactly once a day. What the clocks jump over is due at the first instant after the jump, once
//   however many readings were jumped over. What they show twice is due the first time only.
// - A pattern of elapsed time ("*/15 * * * *", "0 */2 * * *") is due whenever the clocks show what
//   it names: not at all where they jump, twice where they go back.

const SECOND_MS = 1_000;

/** The longest that clocks can show again what they showed: they were never set back by more. */
const LONGEST_REPEAT_MS = 86_400_000;

/** When a schedule is due: a cron expression, read by the clocks of an IANA zone. */
export type Timing = Pick<Schedule, "expression" | "timeZone">;

/**
 * The instants in `(from, to]` at which a schedule is due, in order: the oldest `limit` of them.
 * When there are `limit`, ask again from the last one. There are none before 1970.
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
 * The first instant strictly after `after` at which a schedule is due, or `null` when its expression
 * names a day that never comes.
 *
 * @throws InvalidScheduleError when expression or zone cannot be read.
 */
export function nextSlot(timing: Timing, after: Date): Date | null {
  const { value } = slotsAfter(timing, instantOf(after)).next();
  return value === undefined ? null : new Date(value);
}

/** The name of a slot, in every hub and for ever: `publish@2026-11-22T03:00:00Z`. */
export function slotId(scheduleId: string, at: Date): string {
  return `${scheduleId}@${at.toISOString().replace(/\.\d+/, "")}`;
}

/** Every slot after an instant, each strictly later than the one before. */
function* slotsAfter(
  { expression, timeZone }: Timing,
  after: number,
): Generator<number, undefined> {
  const pattern = parseCron(expression);
  const zone = createZone(timeZone);
  // Everything up to `at` was looked at, that second included; what follows is read with `offset`.
  // Before 1970, clocks were set too often and too oddly, and nobody asks.
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
      // The clocks jump over the reading: without the change, it would come before they catch up.
      yield change.at;
      at = change.at;
    }
  }
}

/** The last second that shows again what clocks showed before, when `at` is one of those; else `at`. */
function skipRepeat(zone: Zone, at: number): number {
  const from = at - LONGEST_REPEAT_MS;
  const change = zone.nextChange(from, at, zone.offsetAt(from));
  return change === null ? at : Math.max(at, change.at - change.shift - SECOND_MS);
}

/** Without room for one slot nothing would ever be decided. */
export function checkLimit(limit: number): void {
  if (Number.isInteger(limit) && limit >= 1) return;
  throw new RangeError(`limit must be a whole number from 1, not ${limit}`);
}

function instantOf(date: Date): number {
  const instant = date.getTime();
  if (Number.isNaN(instant)) throw new RangeError("an invalid Date is no instant");
  return instant;
}
