import { InvalidScheduleError } from "@loom/workflow";

const SECOND_MS = 1_000;

/**
 * The step at which a zone's offset is checked. No zone has changed twice within six days since
 * 1970: the shortest time between two changes was 6.96 days (Brazil in October 2000; tz database
 * 2026c).
 */
const STEP_MS = 6 * 86_400_000;

/** A time zone: the milliseconds to add to an instant to get its clocks' reading. */
export interface Zone {
  offsetAt(instant: number): number;
  /**
   * Returns the first instant in `(from, to]` that does not have `offset`. All are whole seconds.
   */
  nextChange(from: number, to: number, offset: number): ZoneChange | null;
}

/** Clocks go forward by `shift` (readings are skipped) or back (readings come again). */
interface ZoneChange {
  /** The first instant with the new offset. */
  readonly at: number;
  /** New offset minus old offset. */
  readonly shift: number;
}

/**
 * Creates a zone from the runtime's time zone database.
 *
 * @throws InvalidScheduleError when the runtime does not know it.
 */
export function createZone(name: string): Zone {
  const format = offsetFormat(name);
  const offsetAt = (instant: number) => parseOffset(format.format(instant));
  return {
    offsetAt,
    nextChange(from, to, before) {
      for (let start = from; start < to; start += STEP_MS) {
        const end = Math.min(start + STEP_MS, to);
        const after = offsetAt(end);
        if (after === before) continue;
        const at = firstSecond(start, end, (instant) => offsetAt(instant) === after);
        return { at, shift: after - before };
      }
      return null;
    },
  };
}

/**
 * Returns the first second in `(from, to]` from which on `holds` is true. It must be true at `to`.
 */
function firstSecond(from: number, to: number, holds: (instant: number) => boolean): number {
  let [without, having] = [from, to];
  while (having - without > SECOND_MS) {
    const middle = without + Math.floor((having - without) / 2 / SECOND_MS) * SECOND_MS;
    if (holds(middle)) having = middle;
    else without = middle;
  }
  return having;
}

function offsetFormat(timeZone: string): Intl.DateTimeFormat {
  try {
    return new Intl.DateTimeFormat("en-US", { timeZone, timeZoneName: "longOffset" });
  } catch (cause) {
    throw new InvalidScheduleError(
      `${JSON.stringify(timeZone)} is not a time zone; write an IANA name such as "Europe/Paris"`,
      { cause },
    );
  }
}

/**
 * Parses the end of `11/25/2026, GMT+05:45`. Plain `GMT` means no offset (ECMA-402, `longOffset`).
 */
function parseOffset(formatted: string): number {
  const offset = /GMT(?:([+-])(\d\d):(\d\d)(?::(\d\d))?)?$/.exec(formatted);
  if (offset === null) throw new Error(`no offset found in ${JSON.stringify(formatted)}`);
  const [, sign, hours = 0, minutes = 0, seconds = 0] = offset;
  const size = (Number(hours) * 60 + Number(minutes)) * 60 + Number(seconds);
  return (sign === "-" ? -size : size) * SECOND_MS;
}
