import { setTimeout as sleep } from "node:timers/promises";
import type { Fault } from "./fault-plan.ts";
import type { Worker } from "./fleet.ts";
import type { Testbed } from "./testbed.ts";

export interface Injected {
  kills: number;
  freezes: number;
  backends: number;
  postgresRestarts: number;
  postgrestRestarts: number;
  outages: number;
}

/**
 * Carries out the planned faults at their moments, until the signal.
 *
 * @returns What was done; resolves when all that was killed or frozen is up again.
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
  // Each of these servers is restarted by one at a time.
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
    // While Postgres is down there is none to kill.
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
