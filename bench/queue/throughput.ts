import { type ClusterInfo, openDatabase } from "@loom/local-db";
import type { OpenEngine } from "./engine.ts";

/** What one engine came to with one size of batch; `null` where it has no such mode. */
export interface Throughput {
  readonly engine: string;
  readonly batch: number;
  readonly enqueued: number;
  readonly settled: number | null;
  /** Bytes on disk a job, indexes included: all waiting, and all finished (where they are kept). */
  readonly waitingBytes: number;
  readonly finishedBytes: number;
}

/** Jobs a second, one engine on a fresh database. */
export async function measureThroughput(
  cluster: ClusterInfo,
  { open, jobs, batch }: { open: OpenEngine; jobs: number; batch: number },
): Promise<Throughput> {
  await using database = await openDatabase(cluster);
  const engine = await open(database);
  try {
    const bytes = async () => {
      const sizes = await Promise.all(
        engine.tables.map(
          (table) =>
            database.sql<{ size: string }[]>`
              select pg_total_relation_size(to_regclass(${table})) as size`,
        ),
      );
      return sizes.reduce((sum, [row]) => sum + Number(row?.size ?? 0), 0) / jobs;
    };
    const enqueued = jobs / (await engine.enqueue(jobs, batch));
    const waitingBytes = await bytes();
    // Statistics as autovacuum would have made them; every engine starts with the same.
    await database.sql`vacuum analyze`;
    const drained = await engine.drain(jobs, batch);
    return {
      engine: engine.name,
      batch,
      enqueued,
      settled: drained === null ? null : jobs / drained,
      waitingBytes,
      finishedBytes: await bytes(),
    };
  } finally {
    await engine.close();
  }
}
