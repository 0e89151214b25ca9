import type { Database } from "@loom/local-db";

/** So many workers, each with a connection and a node of its own, in every system. */
export const WORKERS = 4;

export interface Load {
  readonly jobs: number;
  /** Jobs a call: to enqueue, to claim and to settle. */
  readonly batch: number;
}

/** A queue under test, in a database of its own. */
export interface Subject extends AsyncDisposable {
  /** Adds trivial jobs, `WORKERS` calls at a time. */
  enqueue(load: Load): Promise<void>;
  /**
   * Claims and settles until nothing is left, with `WORKERS` workers.
   *
   * @returns How many jobs were settled as their own system confirms it.
   */
  drain(load: Load): Promise<number>;
}

/** A way to queue jobs in Postgres, made ready in a database that nothing else uses. */
export interface System {
  readonly name: string;
  /** What it is, in one line of the report. */
  readonly about: string;
  /** The batches that it can be asked for; all of them by default. */
  readonly batches?: readonly number[];
  open(database: Database): Promise<Subject>;
}

/** The names of the workers' nodes. */
export const nodes = Array.from({ length: WORKERS }, (_, index) => `node-${index}`);

/** The input of every job, and what it comes to. */
export const INPUT = { hello: "world" };
export const RESULT = { ok: true };

/** Runs one piece of work for each node at the same time, and adds up what they return. */
export async function onEachNode(work: (node: string, index: number) => Promise<number>) {
  const counts = await Promise.all(nodes.map(work));
  return counts.reduce((sum, count) => sum + count, 0);
}

/** Adds `jobs` jobs in batches, `WORKERS` calls at a time. */
export async function inBatches(
  { jobs, batch }: Load,
  add: (size: number, node: string) => Promise<unknown>,
): Promise<void> {
  await onEachNode(async (node, index) => {
    const share = Math.floor(jobs / WORKERS) + (index < jobs % WORKERS ? 1 : 0);
    for (let added = 0; added < share; added += batch) {
      await add(Math.min(batch, share - added), node);
    }
    return share;
  });
}
