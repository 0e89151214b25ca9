/** The factor by which the hub's memory may grow once the hub is warm. */
const MAX_GROWTH = 1.15;

export interface Measured {
  /** Ids of the runs that were started. */
  started: readonly string[];
  /** For each stream, the final statuses that it received, by run. */
  received: readonly ReadonlyMap<string, string>[];
  /** The hub's memory in MiB, at even intervals. */
  samples: readonly number[];
}

/** Decides whether a soak passed, and says why in one sentence. */
export function assess({ started, received, samples }: Measured): { passed: boolean; why: string } {
  const missed = received.reduce(
    (sum, ended) => sum + started.filter((run) => !ended.has(run)).length,
    0,
  );
  const failed = started.filter(
    (run) => (received[0]?.get(run) ?? "succeeded") !== "succeeded",
  ).length;
  // The hub is warm after a third of the time: code is compiled and caches are full.
  const warm = median(
    samples.slice(Math.floor(samples.length / 3), Math.ceil((2 * samples.length) / 3)),
  );
  const last = median(samples.slice(Math.ceil((2 * samples.length) / 3)));
  const growth = last / warm;
  return {
    passed: started.length > 0 && missed === 0 && failed === 0 && growth <= MAX_GROWTH,
    why: `${started.length} runs, of which ${failed} did not succeed; ${received.length} streams, which missed ${missed} ends of runs; the hub used ${Math.round(warm)} MiB in the middle third and ${Math.round(last)} MiB in the last (factor ${growth.toFixed(2)}, at most ${MAX_GROWTH})`,
  };
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}
