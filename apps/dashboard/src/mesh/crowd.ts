/** How often it is told how many were not drawn. */
export const TELL_MS = 1_000;

/** Pulses under way. Only so many are: the oldest gives way, and is counted. */
export interface Crowd<Item> {
  add(pulse: Item): void;
  /** Those that have not ended. */
  at(now: number): readonly Item[];
  clear(): void;
}

/**
 * @param options.onMissed - Called every second with how many gave way in it, until there were none.
 */
export function createCrowd<Item extends { readonly endsAt: number }>({
  limit,
  onMissed,
}: {
  limit: number;
  onMissed: (count: number) => void;
}): Crowd<Item> {
  let pulses: Item[] = [];
  let missed = 0;
  let timer: ReturnType<typeof setInterval> | undefined;

  function tell(): void {
    onMissed(missed);
    if (missed === 0) stop();
    missed = 0;
  }
  function stop(): void {
    clearInterval(timer);
    timer = undefined;
  }

  return {
    add(pulse) {
      if (pulses.length >= limit) {
        pulses.shift();
        missed += 1;
        timer ??= setInterval(tell, TELL_MS);
      }
      pulses.push(pulse);
    },
    at(now) {
      pulses = pulses.filter((pulse) => now < pulse.endsAt);
      return pulses;
    },
    clear() {
      pulses = [];
      missed = 0;
      stop();
    },
  };
}
