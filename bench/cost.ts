import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { DatabaseCopy } from "@loom/local-db";
import { cpuSeconds, endedChildrenSeconds, processName, processTree } from "./processes.ts";

/** What one job or run costs: microseconds, and bytes of the write-ahead log. */
export interface Cost {
  readonly wall: number;
  /** Processor time of all processes of Postgres. */
  readonly server: number;
  /** Processor time of this process, or of pgbench. */
  readonly client: number;
  readonly postgrest: number;
  readonly wal: number;
}

/** Returns the processor time of all processes, in microseconds. */
export const cpuOf = ({ server, client, postgrest }: Cost): number => server + client + postgrest;

/** Measures what some work costs for each of `jobs` (or runs). `work` returns the seconds that it took. */
export async function costOf(
  database: DatabaseCopy,
  jobs: number,
  work: () => Promise<number>,
): Promise<Cost> {
  const before = await readCounters(database);
  const wall = await work();
  const after = await readCounters(database);
  const micros = (counter: keyof typeof before) =>
    ((after[counter] - before[counter]) / jobs) * 1e6;
  return {
    wall: (wall / jobs) * 1e6,
    server: micros("server"),
    client: micros("client"),
    postgrest: micros("postgrest"),
    wal: (after.wal - before.wal) / jobs,
  };
}

/** The counters of the whole cluster, and of this process. */
async function readCounters({ sql, socketDir }: DatabaseCopy) {
  const [row] = await sql<{ wal: string }[]>`
    select pg_current_wal_insert_lsn() - '0/0'::pg_lsn as wal`;
  const [line] = readFileSync(join(socketDir, "data/postmaster.pid"), "utf8").split("\n");
  const postmaster = Number(line);
  const { user, system } = process.cpuUsage();
  const sum = (pids: readonly { pid: number }[]) =>
    pids.reduce((total, { pid }) => total + cpuSeconds(pid), 0);
  return {
    wal: Number(row?.wal),
    server: sum(processTree(postmaster)) + endedChildrenSeconds(postmaster),
    // pgbench is a child that has ended.
    client: (user + system) / 1e6 + endedChildrenSeconds(process.pid),
    postgrest: sum(
      processTree(process.pid).filter((each) => processName(each, "/") === "postgrest"),
    ),
  };
}
