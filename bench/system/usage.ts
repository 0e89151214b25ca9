import { setTimeout as sleep } from "node:timers/promises";
import { cpuSeconds, endedChildrenSeconds, memoryKib } from "../processes.ts";
import { type Part, parts, type System } from "./start.ts";

/** What the system has used between two moments. */
export interface Usage {
  readonly seconds: number;
  /** Seconds of processor time by part. */
  readonly cpu: Readonly<Record<Part, number>>;
  /** Transactions of the database, which are calls: PostgREST makes one of each. */
  readonly calls: number;
  /** The seconds in which calls were counted: a little longer than the work. */
  readonly callSeconds: number;
  /** How often each of Loom's functions ran, the most frequent first; also when another one called it. */
  readonly functions: readonly { readonly name: string; readonly calls: number }[];
}

/** Backends of Postgres report what they have done at the latest when they were idle for ten seconds. */
const REPORT_MS = 11_000;

/** Counts the calls of functions from now on. */
export async function countFunctions({ sql }: System): Promise<void> {
  await sql`alter system set track_functions = 'all'`;
  await sql`select pg_reload_conf()`;
}

/** Measures what the system uses while some work is done, without the processor time of waiting for the report. */
export async function usageOf(system: System, work: () => Promise<unknown>): Promise<Usage> {
  await sleep(REPORT_MS);
  const [before, cpuBefore] = [await readCalls(system), readCpu(system)];
  const start = performance.now();
  await work();
  const seconds = (performance.now() - start) / 1_000;
  const cpuAfter = readCpu(system);
  await sleep(REPORT_MS);
  const after = await readCalls(system);
  const cpu = Object.fromEntries(
    parts.map((part) => [part, cpuAfter[part] - cpuBefore[part]]),
  ) as Record<Part, number>;
  return {
    seconds,
    cpu,
    calls: after.transactions - before.transactions,
    callSeconds: seconds + REPORT_MS / 1_000,
    functions: [...after.functions]
      .map(([name, calls]) => ({ name, calls: calls - (before.functions.get(name) ?? 0) }))
      .filter(({ calls }) => calls > 0)
      .sort((one, other) => other.calls - one.calls),
  };
}

/** Returns the memory of the processes of each part now, in KiB. */
export const readMemory = (system: System) =>
  system.processes().map(({ pid, part }) => ({ part, ...memoryKib(pid) }));

function readCpu(system: System): Record<Part, number> {
  const cpu = Object.fromEntries(parts.map((part) => [part, 0])) as Record<Part, number>;
  for (const { pid, part } of system.processes()) {
    cpu[part] += cpuSeconds(pid);
    // Hub and agent start nothing but processes for authors' code.
    const ended = part === "hub" || part === "agent" ? "steps" : part;
    cpu[ended] += endedChildrenSeconds(pid);
  }
  return cpu;
}

async function readCalls({ sql }: System) {
  const [row] = await sql<{ count: string }[]>`
    select xact_commit + xact_rollback as count from pg_stat_database where datname = current_database()`;
  const functions = await sql<{ name: string; calls: string }[]>`
    select funcname as name, sum(calls) as calls from pg_stat_user_functions
     where schemaname = 'public' group by funcname`;
  return {
    transactions: Number(row?.count),
    functions: new Map(functions.map(({ name, calls }) => [name, Number(calls)])),
  };
}
