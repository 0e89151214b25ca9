/** Longest delay a Node timer takes; longer ones fire at once. */
const MAX_MS = 2 ** 31 - 1;

/** Passes a duration option through, or refuses it where it was written. */
export function milliseconds(option: string, value: number, min: 0 | 1): number {
  if (value >= min && value <= MAX_MS) return value;
  throw new RangeError(
    `${option} is ${value}: it takes milliseconds, from ${min} to ${MAX_MS} (24 days)`,
  );
}
