/** Of its memory, how much more a hub may use at the end than when it was warm. */
const MAX_GROWTH = 1.15;

export interface Soaked {
  /** Ids of runs. */
  started: readonly string[];
  /** What each stream was told: the statuses of runs that ended, by id. */
  told: readonly ReadonlyMap<string, string>[];
  /** The hub's memory in MiB, at even intervals. */
  samples: readonly number[];
}

/** What a soak came to, in a sentence. */
export function judge({ started, told, samples }: Soaked): { isGood: boolean; why: string } {
  const missed = told.reduce(
    (sum, ended) => sum + started.filter((run) => !ended.has(run)).length,
    0,
  );
  const failed = started.filter((run) => (told[0]?.get(run) ?? "succeeded") !== "succeeded").length;
  // Warm after a third: code is compiled by then, and caches are full.
  const warm = median(
    samples.slice(Math.floor(samples.length / 3), Math.ceil((2 * samples.length) / 3)),
  );
  const last = median(samples.slice(Math.ceil((2 * samples.length) / 3)));
  const growth = last / warm;
  return {
    isGood: started.length > 0 && missed === 0 && failed === 0 && growth <= MAX_GROWTH,
    why: `${started.length} runs, ${failed} of them not succeeded; ${told.length} streams, which missed ${missed} ends; memory of the hub ${Math.round(warm)} MiB in the middle third, ${Math.round(last)} MiB in the last (${growth.toFixed(2)}, at most ${MAX_GROWTH})`,
  };
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}
