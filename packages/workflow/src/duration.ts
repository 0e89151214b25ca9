import { limits } from "./limits.ts";

const UNIT_MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** A length of time as people write it: a whole number and a unit, such as `"30s"` or `"15m"`. */
export type Duration = `${number}${keyof typeof UNIT_MS}`;

/** A text is not a duration. */
export class InvalidDurationError extends Error {
  override readonly name = "InvalidDurationError";
  readonly code = "INVALID_DURATION";
  constructor(text: unknown, options?: ErrorOptions) {
    super(
      `${JSON.stringify(text)} is not a duration; write a whole number and one of ms, s, m, h, d, as in "90s" or "15m"`,
      options,
    );
  }
}

/**
 * Parses a duration such as `"15m"` to milliseconds.
 *
 * @throws InvalidDurationError for anything else: fractions, signs, spaces, several units.
 */
export function parseDuration(text: string): number {
  const [, amount, unit] = /^(\d+)(ms|s|m|h|d)$/.exec(text) ?? [];
  if (amount === undefined || unit === undefined) throw new InvalidDurationError(text);
  return Number(amount) * UNIT_MS[unit as keyof typeof UNIT_MS];
}

/**
 * Parses a duration that must be above zero.
 *
 * @throws RangeError when it is zero, or longer than a timer can wait.
 * @throws InvalidDurationError when it is not a duration.
 */
export function positiveMs(option: string, duration: Duration): number {
  const ms = parseDuration(duration);
  if (ms === 0) throw new RangeError(`${option} must be above 0, not ${JSON.stringify(duration)}`);
  if (ms > limits.timerMs) throw new RangeError(`${option} must be at most "24d"`);
  return ms;
}
