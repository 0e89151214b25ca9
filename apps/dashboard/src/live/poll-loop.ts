/** Runs a task again and again, one run at a time. */
export interface PollLoop {
  /** Makes the next run due in `ms`. A run that is due sooner is not delayed, however often this is called. */
  within(ms: number): void;
  /** Begins a run at once. A run under way is aborted and its result is ignored. */
  restart(): void;
  /** Aborts the run under way. The next run begins only after `within` or `restart`. */
  stop(): void;
}

/**
 * @param options.apartMs - Minimum time between the end of a run and the next one, except after `restart`.
 * @param run - Runs the task, until the signal aborts. Resolves with the time to the next run in ms, which is
 *   infinite for a task that runs only on request. Never rejects.
 */
export function createPollLoop(
  { apartMs }: { apartMs: number },
  run: (signal: AbortSignal) => Promise<number>,
): PollLoop {
  let underWay: AbortController | undefined;
  let endedAt = Number.NEGATIVE_INFINITY;
  let dueAt = Number.POSITIVE_INFINITY;
  let timer: ReturnType<typeof setTimeout> | undefined;

  function wait(): void {
    clearTimeout(timer);
    if (dueAt === Number.POSITIVE_INFINITY) return;
    timer = setTimeout(() => void begin(), Math.max(dueAt, endedAt + apartMs) - Date.now());
  }

  async function begin(): Promise<void> {
    const controller = new AbortController();
    underWay = controller;
    dueAt = Number.POSITIVE_INFINITY;
    const ms = await run(controller.signal);
    if (controller.signal.aborted) return;
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
    restart() {
      stop();
      endedAt = Number.NEGATIVE_INFINITY;
      within(0);
    },
    stop,
  };
}
