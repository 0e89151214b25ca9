const FIRST_MS = 250;
const MAX_MS = 15_000;

/**
 * How long to wait after `failures` calls in a row that the database did not answer:
 * anything up to a limit that doubles ("full jitter"), so that nodes that lost it together
 * do not come back together.
 */
export function reconnectDelayMs(
  failures: number,
  {
    maxMs = MAX_MS,
    random = Math.random,
  }: { maxMs?: number | undefined; random?: () => number } = {},
): number {
  return Math.min(maxMs, FIRST_MS * 2 ** (failures - 1)) * random();
}
