/** Something that is done again and again, once at a time. */
export interface Rounds {
  /**
   * The next one begins in `ms` at the latest, and behind the one that is under way. What is due sooner is
   * not put off, however often this is asked for.
   */
  within(ms: number): void;
  /** Nothing more is done, until it is asked for again. */
  stop(): void;
}

/** @param go - One round; resolves with in how many ms the next one is due by itself, and never rejects. */
export function createRounds(go: () => Promise<number>): Rounds {
  let isUnderWay = false;
  let isStopped = false;
  let dueAt = Number.POSITIVE_INFINITY;
  let timer: ReturnType<typeof setTimeout> | undefined;

  function wait(): void {
    clearTimeout(timer);
    timer = setTimeout(() => void begin(), dueAt - Date.now());
  }

  async function begin(): Promise<void> {
    isUnderWay = true;
    dueAt = Number.POSITIVE_INFINITY;
    const ms = await go();
    isUnderWay = false;
    if (isStopped) return;
    dueAt = Math.min(dueAt, Date.now() + ms);
    wait();
  }

  return {
    within(ms) {
      isStopped = false;
      const at = Date.now() + ms;
      if (at >= dueAt) return;
      dueAt = at;
      if (!isUnderWay) wait();
    },
    stop() {
      isStopped = true;
      dueAt = Number.POSITIVE_INFINITY;
      clearTimeout(timer);
    },
  };
}
