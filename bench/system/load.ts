import { setTimeout as sleep } from "node:timers/promises";
import { createHubClient, everyPage, type HubClient } from "@loom/client";
import type { System } from "./start.ts";
import { type Usage, usageOf } from "./usage.ts";

/** Many jobs or runs at once. */
export interface Throughput {
  readonly count: number;
  /** From the first request until the last of them is finished, by the times of the database. */
  readonly seconds: number;
  readonly usage: Usage;
}

/** One job or run at a time, in milliseconds until it is finished. */
export interface Latency {
  readonly fromRequest: number;
  readonly fromAnswer: number;
}

const PAGE = { limit: 200 };

/** How many requests are under way at once where a run takes one each. */
const CONNECTIONS = 8;

/** Adds jobs that do nothing in one request, and waits for all of them. */
export async function measureJobs(system: System, count: number): Promise<Throughput> {
  return await measure(system, count, "job.settled", async () => {
    const jobs = Array.from({ length: count }, () => JOB);
    const { jobs: added } = await system.client.addJobs(jobs);
    return () =>
      lastEnd(everyPage(system.client.listJobs, PAGE), new Set(added.map(({ id }) => id)));
  });
}

/** Starts runs of three steps that do nothing, each with a request of its own, and waits for all of them. */
export async function measureRuns(
  system: System,
  count: number,
  tokens: readonly string[],
): Promise<Throughput> {
  const clients = tokens.map((token) => createHubClient({ url: system.url, token }));
  return await measure(system, count, "run.finished", async () => {
    const ids = new Set<string>();
    const numbers = Array.from({ length: count }, (_, index) => index).values();
    const loop = async () => {
      for (const number of numbers) {
        const client = clients[number % clients.length] ?? system.client;
        ids.add((await client.startRun("three-steps", { input: {} })).runId);
      }
    };
    await Promise.all(Array.from({ length: CONNECTIONS }, loop));
    return () => lastEnd(everyPage(system.client.listRuns, PAGE), ids);
  });
}

/** Measures single jobs while nothing else runs. */
export const measureJobsAlone = (system: System, count: number): Promise<Latency[]> =>
  measureAlone(system, count, "job.settled", async (client) => {
    const { jobs } = await client.addJobs([JOB]);
    const id = jobs[0]?.id ?? 0;
    return async () => timeOf((await client.getJob(id)).finishedAt);
  });

/** Measures single runs of three steps while nothing else runs. */
export const measureRunsAlone = (system: System, count: number): Promise<Latency[]> =>
  measureAlone(system, count, "run.finished", async (client) => {
    const { runId } = await client.startRun("three-steps", { input: {} });
    return async () => timeOf((await client.getRun(runId)).finishedAt);
  });

const JOB = { workflow: "trivial", step: "only", input: {} } as const;

type Ending = "job.settled" | "run.finished";

/** @param start - Starts everything, and returns a function that reads when the last of it ended. */
async function measure(
  system: System,
  count: number,
  ending: Ending,
  start: () => Promise<() => Promise<number>>,
): Promise<Throughput> {
  let startedAt = 0;
  let readEnd = async () => 0;
  const usage = await usageOf(system, async () => {
    await using endings = await listen(system.client, ending);
    startedAt = Date.now();
    readEnd = await start();
    await endings.reach(count);
  });
  return { count, usage, seconds: ((await readEnd()) - startedAt) / 1_000 };
}

async function measureAlone(
  { client }: System,
  count: number,
  ending: Ending,
  start: (client: HubClient) => Promise<() => Promise<number>>,
): Promise<Latency[]> {
  await using endings = await listen(client, ending);
  const latencies: Latency[] = [];
  for (let index = 0; index < count; index += 1) {
    // Its effects end meanwhile, and what polls meets the next one at any moment of its interval.
    await sleep(200 + 300 * Math.random());
    const requestedAt = Date.now();
    const readEnd = await start(client);
    const answeredAt = Date.now();
    await endings.reach(index + 1);
    const endedAt = await readEnd();
    latencies.push({ fromRequest: endedAt - requestedAt, fromAnswer: endedAt - answeredAt });
  }
  return latencies;
}

/** Counts events of the hub's stream from now on. */
export async function listen(client: HubClient, ending: Ending) {
  const stop = new AbortController();
  const open = Promise.withResolvers<void>();
  let seen = 0;
  let reached = () => {};
  const listening = (async () => {
    for await (const { event } of client.streamEvents({ pastMs: 1, signal: stop.signal })) {
      // Past events come first.
      if (event === "now") open.resolve();
      if (event === "reset") throw new Error("the stream lost events");
      if (event !== ending) continue;
      seen += 1;
      reached();
    }
  })();
  listening.catch(open.reject);
  await open.promise;
  seen = 0;
  return {
    reach: (count: number) =>
      new Promise<void>((resolve, reject) => {
        listening.catch(reject);
        reached = () => seen >= count && resolve();
        reached();
      }),
    async [Symbol.asyncDispose]() {
      stop.abort();
      await listening.catch(() => {});
    },
  };
}

/** Reads when the last of these ended, from lists that begin with the newest. */
async function lastEnd<Id>(
  listed: AsyncIterable<{ id: Id; finishedAt: string | null }>,
  ids: Set<Id>,
): Promise<number> {
  let last = Number.NaN;
  for await (const { id, finishedAt } of listed) {
    if (ids.delete(id)) last = Math.max(last || 0, timeOf(finishedAt));
    if (ids.size === 0) break;
  }
  return last;
}

const timeOf = (instant: string | null | undefined): number =>
  instant ? Date.parse(instant) : Number.NaN;
