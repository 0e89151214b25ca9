import type { Database } from "@loom/local-db";

/** One job queue under measurement, on a database of its own. */
export interface Engine {
  readonly name: string;
  /**
   * Adds jobs, `batch` a call, one call after the other.
   *
   * @returns Seconds it took.
   */
  enqueue(jobs: number, batch: number): Promise<number>;
  /**
   * Takes all jobs and records that each succeeded, `batch` at a time, with `LOOPS` loops at once.
   *
   * @returns Seconds it took; `null` where the engine has no such mode.
   */
  drain(jobs: number, batch: number): Promise<number | null>;
  /** Tables whose size counts, indexes and TOAST included. */
  readonly tables: readonly string[];
  close(): Promise<void>;
}

export type OpenEngine = (database: Database) => Promise<Engine>;

/** How many loops (or, where the engine has its own, concurrent jobs a core) take jobs at once. */
export const LOOPS = 4;

/** What every job carries and answers. */
export const payloadOf = (index: number) => ({ index, text: "x".repeat(40) });
export const RESULT = { ok: true };

/** The seconds that some work takes. */
export async function seconds(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1000;
}

/** Cuts `jobs` numbers into batches. */
export function* batches(jobs: number, batch: number): Generator<number[]> {
  for (let from = 0; from < jobs; from += batch) {
    yield Array.from({ length: Math.min(batch, jobs - from) }, (_, index) => from + index);
  }
}

/** Runs one endless round in `LOOPS` loops until all jobs are done. `round` says how many it did. */
export async function inLoops(jobs: number, round: (loop: number) => Promise<number>) {
  let done = 0;
  const loop = async (number: number) => {
    while (done < jobs) {
      // On a line of its own: `done += await …` would read `done` before it waits.
      const finished = await round(number);
      done += finished;
    }
  };
  await Promise.all(Array.from({ length: LOOPS }, (_, number) => loop(number)));
}
