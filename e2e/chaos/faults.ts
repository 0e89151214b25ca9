import { setTimeout as sleep } from "node:timers/promises";
import type { LinkFault, Weather } from "./fault-proxy.ts";
import type { Random } from "./random.ts";
import type { Testbed } from "./testbed.ts";
import type { Worker } from "./worker-process.ts";

/** A fault of a process or of the whole network at a moment of the round. */
export type Fault = { readonly atMs: number } & (
  | { readonly kind: "kill"; readonly worker: number; readonly downMs: number }
  | { readonly kind: "freeze"; readonly worker: number; readonly forMs: number }
  | { readonly kind: "restart-postgres" }
  | { readonly kind: "restart-postgrest" }
  | { readonly kind: "kill-backends"; readonly count: number }
  /** No client reaches the database for longer than a lease. */
  | { readonly kind: "outage"; readonly forMs: number }
);

/** The average time between two faults of a kind. */
const EVERY_MS = {
  kill: 1_500,
  freeze: 4_000,
  "restart-postgres": 17_000,
  "restart-postgrest": 23_000,
  "kill-backends": 2_500,
  outage: 41_000,
} as const;

/**
 * Plans every fault of a round from its seed alone, ordered by time. A plan does not know which workers
 * will be down: a fault that hits one of those does nothing.
 */
export function planFaults(options: {
  durationMs: number;
  workers: number;
  leaseMs: number;
  random: Random;
}): Fault[] {
  const { durationMs, workers, leaseMs, random } = options;
  const worker = () => random.int(0, workers - 1);
  const faults: Fault[] = [];
  const fill = (kind: Fault["kind"], make: (atMs: number) => Fault[]) => {
    const every = EVERY_MS[kind];
    for (let atMs = every * 0.6; atMs < durationMs; atMs += every * (0.6 + 0.8 * random.next())) {
      faults.push(...make(Math.round(atMs)));
    }
  };
  const kill = (atMs: number): Fault => ({
    atMs,
    kind: "kill",
    worker: worker(),
    downMs: random.chance(0.3) ? random.int(leaseMs, 2 * leaseMs) : random.int(0, 500),
  });
  fill("kill", (atMs) => [kill(atMs)]);
  // The last worker's node is lost for good; no job is pinned to it.
  faults.push({
    atMs: Math.round(durationMs / 2),
    kind: "kill",
    worker: workers - 1,
    downMs: Number.POSITIVE_INFINITY,
  });
  fill("freeze", (atMs) => [
    { atMs, kind: "freeze", worker: worker(), forMs: random.int(leaseMs + 500, 2 * leaseMs) },
  ]);
  // A worker dies at the same moment as the database, so nobody can record its end.
  fill("restart-postgres", (atMs) => [{ atMs, kind: "restart-postgres" }, kill(atMs)]);
  fill("restart-postgrest", (atMs) => [{ atMs, kind: "restart-postgrest" }]);
  fill("kill-backends", (atMs) => [{ atMs, kind: "kill-backends", count: random.int(1, 5) }]);
  fill("outage", (atMs) => [
    { atMs, kind: "outage", forMs: random.int(leaseMs + 500, 2 * leaseMs) },
  ]);
  return faults.sort((a, b) => a.atMs - b.atMs);
}

type Chances = Readonly<Record<LinkFault, number>>;

/** The probability of each fault of an exchange between supabase-js and PostgREST. */
export const HTTP_LINK: Chances = {
  "lose-request": 0.02,
  "lose-answer": 0.06,
  reset: 0.02,
  delay: 0.03,
  "black-hole": 0.003,
  replay: 0.05,
};

/** The same between the direct transport and Postgres. */
export const DIRECT_LINK: Chances = { ...HTTP_LINK, replay: 0 };

/** The same between PostgREST and Postgres. */
export const INNER_LINK: Chances = {
  "lose-request": 0.004,
  "lose-answer": 0.008,
  reset: 0.006,
  delay: 0.01,
  "black-hole": 0.0005,
  replay: 0,
};

/** Chooses faults with these probabilities. */
export function weatherOf(chances: Chances, random: Random): Weather {
  const kinds = Object.entries(chances) as [LinkFault, number][];
  return () => {
    let left = random.next();
    return kinds.find(([, chance]) => {
      left -= chance;
      return left < 0;
    })?.[0];
  };
}

export interface Injected {
  kills: number;
  freezes: number;
  backends: number;
  postgresRestarts: number;
  postgrestRestarts: number;
  outages: number;
}

/**
 * Injects the planned faults at their moments until the signal aborts.
 *
 * @returns How many faults of each kind were injected, once every killed or frozen worker is up again.
 */
export async function inject(
  faults: readonly Fault[],
  {
    testbed,
    workers,
    signal,
  }: { testbed: Testbed; workers: readonly Worker[]; signal: AbortSignal },
): Promise<Injected> {
  const { cluster, database, links, sql } = testbed;
  const injected: Injected = {
    kills: 0,
    freezes: 0,
    backends: 0,
    postgresRestarts: 0,
    postgrestRestarts: 0,
    outages: 0,
  };
  // Restarts of one server follow one another.
  let postgres = Promise.resolve();
  let postgrest = Promise.resolve();

  async function strike(fault: Fault): Promise<void> {
    switch (fault.kind) {
      case "kill":
        if (await workers[fault.worker]?.kill(fault.downMs)) injected.kills += 1;
        break;
      case "freeze":
        if (await workers[fault.worker]?.freeze(fault.forMs)) injected.freezes += 1;
        break;
      case "restart-postgres":
        postgres = postgres.then(() => cluster.restartPostgres({ mode: "immediate" }));
        await postgres;
        injected.postgresRestarts += 1;
        break;
      case "restart-postgrest":
        postgrest = postgrest.then(() => database.restartPostgrest());
        await postgrest;
        injected.postgrestRestarts += 1;
        break;
      case "kill-backends":
        injected.backends += await killBackends(fault.count);
        break;
      case "outage":
        links.http.cut();
        links.direct.cut();
        await sleep(fault.forMs);
        links.http.restore();
        links.direct.restore();
        injected.outages += 1;
        break;
    }
  }

  async function killBackends(count: number): Promise<number> {
    // While Postgres is down, there are no backends to kill.
    const killed = await sql<{ done: boolean }[]>`
      select pg_terminate_backend(pid) as done from pg_stat_activity
       where datname = ${database.name} and pid <> pg_backend_pid()
       order by state = 'active' desc, random() limit ${count}`.catch(() => []);
    return killed.filter(({ done }) => done).length;
  }

  const startedAt = performance.now();
  const underway: Promise<void>[] = [];
  for (const fault of faults) {
    const dueInMs = fault.atMs - (performance.now() - startedAt);
    if (dueInMs > 0) await sleep(dueInMs, undefined, { signal }).catch(() => {});
    if (signal.aborted) break;
    underway.push(strike(fault));
  }
  await Promise.all(underway);
  return injected;
}
