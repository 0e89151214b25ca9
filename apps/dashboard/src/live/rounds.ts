/** Something that is done again and again, once at a time. */
export interface Rounds {
  /**
   * The next one begins in `ms` at the latest, and behind the one that is under way. What is due sooner is
   * not put off, however often this is asked for.
   */
  within(ms: number): void;
  /** A new one begins at once: the one under way is told to stop, and counts no more. */
  startOver(): void;
  /** Nothing more is done, until it is asked for again. */
  stop(): void;
}

/**
 * @param go - One round, until the signal says that it counts no more; resolves with in how many ms the next
 *   one is due by itself, and never rejects.
 */
export function createRounds(go: (signal: AbortSignal) => Promise<number>): Rounds {
  let underWay: AbortController | undefined;
  let dueAt = Number.POSITIVE_INFINITY;
  let timer: ReturnType<typeof setTimeout> | undefined;

  function wait(): void {
    clearTimeout(timer);
    timer = setTimeout(() => void begin(), dueAt - Date.now());
  }

  async function begin(): Promise<void> {
    const round = new AbortController();
    underWay = round;
    dueAt = Number.POSITIVE_INFINITY;
    const ms = await go(round.signal);
    if (round.signal.aborted) return;
    underWay = undefined;
    dueAt = Math.min(dueAt, Date.now() + ms);
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
      within(0);
    },
    stop,
  };
}
