/** Waits for `ms`, or until the signal aborts, whichever comes first. Never fails. */
export async function sleep(ms: number, { signal }: { signal: AbortSignal }): Promise<void> {
  await createWaker().wait(ms, signal);
}

/** Waits for work that never fails, but for at most `ms`. */
export async function within(ms: number, work: Promise<unknown>): Promise<void> {
  const done = new AbortController();
  void work.finally(() => done.abort());
  await sleep(ms, { signal: done.signal });
}

/** Resolves when the signal aborts. */
export const onceAborted = (signal: AbortSignal): Promise<void> =>
  signal.aborted
    ? Promise.resolve()
    : new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));

/**
 * A pause of one loop that any caller can end early. Several wake-ups before a wait count as one.
 */
export interface Waker {
  wake(): void;
  /**
   * Waits for the next wake-up, for `ms`, or until the signal aborts. One waiter at a time.
   *
   * @returns Whether it was woken.
   */
  wait(ms: number, signal: AbortSignal): Promise<boolean>;
}

/** Creates a waker that has not been woken yet. */
export function createWaker(): Waker {
  let woken = false;
  let wake = () => {};
  return {
    wake() {
      woken = true;
      wake();
    },
    async wait(ms, signal) {
      if (!woken && !signal.aborted) {
        await new Promise<void>((resolve) => {
          wake = () => {
            clearTimeout(timer);
            signal.removeEventListener("abort", wake);
            resolve();
          };
          const timer = setTimeout(wake, ms);
          signal.addEventListener("abort", wake);
        });
      }
      const wasWoken = woken;
      woken = false;
      return wasWoken;
    },
  };
}

/**
 * Lets a number of calls run at a time, and fewer of one caller where that is said; the others wait in line.
 *
 * @param options.each - How many of one caller's may run. Default: as many as there are places.
 * @returns Runs the work when there is a place for its caller.
 */
export function createPlaces({ most, each = most }: { most: number; each?: number }) {
  let all = 0;
  const taken = new Map<string, number>();
  const waiting: { caller: string; begin: () => void }[] = [];
  const isFree = (caller: string) => all < most && (taken.get(caller) ?? 0) < each;
  const change = (caller: string, by: 1 | -1) => {
    all += by;
    const left = (taken.get(caller) ?? 0) + by;
    if (left === 0) taken.delete(caller);
    else taken.set(caller, left);
  };
  return async <Result>(work: () => Promise<Result>, caller = ""): Promise<Result> => {
    if (isFree(caller)) change(caller, 1);
    else await new Promise<void>((begin) => waiting.push({ caller, begin }));
    try {
      return await work();
    } finally {
      change(caller, -1);
      const at = waiting.findIndex((call) => isFree(call.caller));
      const [next] = at === -1 ? [] : waiting.splice(at, 1);
      if (next) {
        change(next.caller, 1);
        next.begin();
      }
    }
  };
}
