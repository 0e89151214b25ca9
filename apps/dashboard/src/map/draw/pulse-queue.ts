/** Interval at which the number of dropped pulses is reported. */
export const REPORT_MS = 1_000;

/** The pulses under way. At the limit the oldest one is dropped and counted. */
export interface PulseQueue<Item> {
  add(pulse: Item): void;
  /** The pulses that have not ended at `now`. */
  at(now: number): readonly Item[];
  clear(): void;
}

/**
 * @param options.onOverflow - Called every second with the number of pulses dropped in it, and with 0
 *   after the last such second.
 */
export function createPulseQueue<Item extends { readonly endsAt: number }>({
  limit,
  onOverflow,
}: {
  limit: number;
  onOverflow: (count: number) => void;
}): PulseQueue<Item> {
  let pulses: Item[] = [];
  let overflow = 0;
  let timer: ReturnType<typeof setInterval> | undefined;

  function report(): void {
    onOverflow(overflow);
    if (overflow === 0) stop();
    overflow = 0;
  }
  function stop(): void {
    clearInterval(timer);
    timer = undefined;
  }

  return {
    add(pulse) {
      if (pulses.length >= limit) {
        pulses.shift();
        overflow += 1;
        timer ??= setInterval(report, REPORT_MS);
      }
      pulses.push(pulse);
    },
    at(now) {
      pulses = pulses.filter((pulse) => now < pulse.endsAt);
      return pulses;
    },
    clear() {
      pulses = [];
      overflow = 0;
      stop();
    },
  };
}
