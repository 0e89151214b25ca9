const FIRST_MS = 250;
const MAX_MS = 15_000;

/**
 * How long to wait before call number `failures` + 1 to a database that did not
 * answer: exponential with full jitter from half a step on, so that many nodes that
 * lost it together do not come back together.
 */
export function reconnectDelayMs(failures: number, random: () => number = Math.random): number {
  return Math.min(MAX_MS, FIRST_MS * 2 ** Math.min(failures - 1, 10)) * (0.5 + random() / 2);
}
