/** How much longer each wait is than the one before, while there is nothing to do. */
const GROWTH = 1.5;

/**
 * How long to wait before looking for offers unasked, after looking so many times in vain: from
 * `pollMs` on up to `maxPollMs`, and a quarter more or less, so that nodes do not ask in step.
 */
export const pollDelayMs = (
  inVain: number,
  { pollMs, maxPollMs, random = Math.random }: PollPace & { random?: () => number },
): number => Math.min(maxPollMs, pollMs * GROWTH ** inVain) * (0.75 + random() / 2);

/** How often to look, in milliseconds. */
export interface PollPace {
  /** While there was something lately. */
  pollMs: number;
  /** At last, when there is nothing for long. */
  maxPollMs: number;
}
