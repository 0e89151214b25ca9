import { type ClusterInfo, copyDatabase, type DatabaseCopy, openDatabase } from "@loom/local-db";
import { type Cost, costOf } from "../cost.ts";
import type { Engine, EngineKind, InputSize } from "./engine.ts";

/** The figures of one engine in one round. */
export interface Measurement {
  readonly engine: string;
  readonly batch: number;
  readonly inputBytes: number;
  readonly round: number;
  readonly enqueue: Cost;
  readonly drain: Cost;
  /** Bytes of all tables and indexes a job, with all jobs waiting. */
  readonly waitingBytes: number;
  /** The same with all jobs finished, after a vacuum. */
  readonly finishedBytes: number;
}

/**
 * Measures one engine on a fresh database: first the space that its jobs take, then the time of as many again. So every
 * connection has made calls before it is timed, as those of a worker or a server have: its first ones read the catalog
 * and plan what the later ones only execute.
 */
export async function measureEngine(
  cluster: ClusterInfo,
  options: {
    kind: EngineKind;
    jobs: number;
    batch: number;
    inputBytes: number;
    round: number;
  },
): Promise<Measurement> {
  const { kind, jobs, batch, inputBytes, round } = options;
  const { engine, database } = await openEngine(cluster, kind, { inputBytes });
  try {
    const empty = await relationBytes(database);
    await engine.enqueue(jobs, batch);
    // Gives every engine the statistics that autovacuum would have made.
    await database.sql`vacuum analyze`;
    const waiting = await relationBytes(database);
    await engine.drain(jobs, batch);
    await database.sql`vacuum analyze`;
    const finished = await relationBytes(database);
    const enqueue = await costOf(database, jobs, () => engine.enqueue(jobs, batch));
    await database.sql`vacuum analyze`;
    const drain = await costOf(database, jobs, () => engine.drain(jobs, batch));
    return {
      ...{ engine: kind.name, batch, inputBytes, round, enqueue, drain },
      waitingBytes: (waiting - empty) / jobs,
      finishedBytes: (finished - empty) / jobs,
    };
  } finally {
    await engine.close();
    await database.stop();
  }
}

/** PostgREST is started only for engines that use it: even idle, it reads the schema for a while. */
async function openEngine(
  cluster: ClusterInfo,
  kind: EngineKind,
  input: InputSize,
): Promise<{ engine: Engine; database: DatabaseCopy }> {
  if (kind.over === "postgrest") {
    const database = await openDatabase(cluster);
    return { database, engine: await kind.open(database, input) };
  }
  const database = await copyDatabase(cluster);
  return { database, engine: await kind.open(database, input) };
}

/** The size of every table with its indexes and TOAST, whatever an engine's tables are called. */
async function relationBytes({ sql }: DatabaseCopy): Promise<number> {
  const [row] = await sql<{ bytes: string }[]>`
    select sum(pg_total_relation_size(relation.oid)) as bytes
      from pg_class relation join pg_namespace schema on schema.oid = relnamespace
     where relkind in ('r', 'm') and nspname not in ('pg_catalog', 'information_schema')`;
  return Number(row?.bytes);
}
