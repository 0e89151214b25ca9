import type { Database, DatabaseCopy } from "@loom/local-db";

/** A job queue to measure. It gets a database of its own, with PostgREST if it needs that. */
export type EngineKind = {
  readonly name: string;
  /** Whether the engine has a mode for batches of this size. Default: all sizes. */
  readonly takes?: (batch: number) => boolean;
} & (
  | {
      readonly over: "postgres";
      open(database: DatabaseCopy, input: InputSize): Promise<Engine>;
    }
  | {
      readonly over: "postgrest";
      open(database: Database, input: InputSize): Promise<Engine>;
    }
);

export interface Engine {
  /**
   * Adds jobs, `batch` a call, one call after the other.
   *
   * @returns The seconds that it took.
   */
  enqueue(jobs: number, batch: number): Promise<number>;
  /**
   * Takes all jobs and records that each succeeded, `batch` at a time, with `LOOPS` loops at once.
   *
   * @returns The seconds that it took.
   */
  drain(jobs: number, batch: number): Promise<number>;
  close(): Promise<void>;
}

/** The size of the input of every job, as JSON, in bytes. */
export interface InputSize {
  readonly inputBytes: number;
}

/** How many loops (or, where the engine has its own, concurrent jobs a core) take jobs at once. */
export const LOOPS = 4;

/** The input of a job. Its JSON has about as many bytes as asked for. */
export const inputOf = (index: number, { inputBytes }: InputSize) => ({
  index,
  text: "x".repeat(inputBytes - 20),
});
/** The result of every job. */
export const RESULT = { ok: true };

/** Measures the seconds that some work takes. */
export async function seconds(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1000;
}

/** Splits the numbers below `jobs` into batches. */
export function* batches(jobs: number, batch: number): Generator<number[]> {
  for (let from = 0; from < jobs; from += batch) {
    yield Array.from({ length: Math.min(batch, jobs - from) }, (_, index) => from + index);
  }
}

/** Repeats `round` in `LOOPS` loops until all jobs are done. `round` returns how many it did. */
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
