/**
 * Something that one loop waits for and anybody may ring: any number of rings before
 * a wait count as one.
 */
export interface Bell {
  ring(): void;
  /**
   * Waits for the next ring, for `ms`, or until the signal aborts. One waiter at a time.
   *
   * @returns Whether it rang.
   */
  wait(ms: number, signal: AbortSignal): Promise<boolean>;
}

export function createBell(): Bell {
  let rung = false;
  let wake = () => {};
  return {
    ring() {
      rung = true;
      wake();
    },
    async wait(ms, signal) {
      if (!rung && !signal.aborted) {
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
      const hasRung = rung;
      rung = false;
      return hasRung;
    },
  };
}
