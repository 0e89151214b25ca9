/** Something that is done again and again, once at a time. */
export interface Rounds {
  /**
   * The next one begins in `ms` at the latest, but some time behind the one before. What is due sooner is
   * not put off, however often this is asked for.
   */
  within(ms: number): void;
  /** A new one begins at once: the one under way is told to stop, and counts no more. */
  startOver(): void;
  /** Nothing more is done, until it is asked for again. */
  stop(): void;
}

/**
 * @param options.apartMs - From the end of a round to the next at least, unless that starts over.
 * @param go - One round, until the signal says that it counts no more; resolves with in how many ms the next
 *   one is due by itself, and never rejects.
 */
export function createRounds(
  { apartMs }: { apartMs: number },
  go: (signal: AbortSignal) => Promise<number>,
): Rounds {
  let underWay: AbortController | undefined;
  let endedAt = Number.NEGATIVE_INFINITY;
  let dueAt = Number.POSITIVE_INFINITY;
  let timer: ReturnType<typeof setTimeout> | undefined;

  function wait(): void {
    clearTimeout(timer);
    timer = setTimeout(() => void begin(), Math.max(dueAt, endedAt + apartMs) - Date.now());
  }

  async function begin(): Promise<void> {
    const round = new AbortController();
    underWay = round;
    dueAt = Number.POSITIVE_INFINITY;
    const ms = await go(round.signal);
    if (round.signal.aborted) return;
    underWay = undefined;
    endedAt = Date.now();
    dueAt = Math.min(dueAt, endedAt + ms);
    wait();
  }

  function within(ms: number): void {
    const at = Date.now() + ms;
    if (at >= dueAt) return;
    dueAt = at;
    if (!underWay) wait();
  }

  function stop(): void {
    underWay?.abort();
    underWay = undefined;
    dueAt = Number.POSITIVE_INFINITY;
    clearTimeout(timer);
  }

  return {
    within,
    startOver() {
      stop();
      endedAt = Number.NEGATIVE_INFINITY;
      within(0);
    },
    stop,
  };
}
