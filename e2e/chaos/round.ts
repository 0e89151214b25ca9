import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Queue, QueueEvent, Settlement, SettlementAnswer } from "@loom/queue";
import { checkRound } from "./check.ts";
import type { LinkFault } from "./fault-proxy.ts";
import {
  DIRECT_LINK,
  HTTP_LINK,
  INNER_LINK,
  type Injected,
  inject,
  planFaults,
  weatherOf,
} from "./faults.ts";
import { repeatOld, runGhost } from "./ghost.ts";
import { runHub } from "./hub.ts";
import { type LoggedCall, logCalls, openQueue, type Route, readCalls } from "./queue-client.ts";
import { createRandom } from "./random.ts";
import { startTestbed, type Testbed } from "./testbed.ts";
import { startWorker, type Worker } from "./worker-process.ts";
import { runProducer } from "./workload.ts";

/** The shortest lease that the queue allows, so that leases run out often. */
const LEASE_MS = 3_000;
const SLOTS = 120;
const DRAIN_MS = 120_000;
const PROGRESS_MS = 10_000;

export interface RoundOptions {
  readonly seed: string;
  /** The longest time that faults are injected. Draining and checking come on top. */
  readonly minutes: number;
  /** The round ends earlier once this many jobs have been added and all are done. */
  readonly maxJobs: number;
  /** Changes the migration: breaks the engine, to show that the checks notice. */
  readonly mutate?: (schema: string) => string;
  /** Called every 10 s with a line about the progress. */
  readonly onProgress?: (line: string) => void;
}

type LinkCounts = Readonly<Record<LinkFault, number>>;

/** The result of a round. */
export interface RoundReport {
  readonly options: RoundOptions;
  /** Jobs and steps that the producers added. Redriven and retried ones come on top. */
  readonly added: number;
  readonly states: Readonly<Record<string, number>>;
  readonly loadSeconds: number;
  readonly drainSeconds: number;
  readonly checkSeconds: number;
  readonly events: readonly QueueEvent[];
  readonly calls: number;
  readonly injected: Injected;
  readonly links: {
    readonly http: LinkCounts;
    readonly direct: LinkCounts;
    readonly inner: LinkCounts;
  };
  /** Answers to the workers' settles, by item. */
  readonly settled: Tally;
  /** Answers to the ghosts' settles, by item. */
  readonly ghostSettled: Tally;
  /** Answers to the settles that the proxy delivered again, by item. */
  readonly replayed: Tally;
  readonly violations: readonly string[];
  /** The folder with every call of every client. It is kept only when a rule is violated. */
  readonly logFolder: string;
}

/** Runs one round: load and faults, then a quiet phase until every job is done, then the checks. */
export async function runRound(options: RoundOptions): Promise<RoundReport> {
  const { seed, minutes, maxJobs, mutate, onProgress } = options;
  const random = createRandom(seed);
  const replayed = new Tally();
  const logFolder = mkdtempSync(join(tmpdir(), "loom-chaos-calls-"));
  await using stack = new AsyncDisposableStack();
  const testbed = await startTestbed({
    random,
    ...(mutate && { mutate }),
    onReplay: (request, answer) => countReplay(replayed, request, answer),
  });
  stack.defer(() => testbed.stop());

  const open = (caller: string, route: Route): Queue => {
    const { queue, close } = openQueue(route);
    const logged = logCalls(queue, { file: join(logFolder, `${caller}.ndjson`), caller });
    stack.defer(async () => {
      await close();
      logged.close();
    });
    return logged.queue;
  };
  const { links, routes } = testbed;
  const workers = await Promise.all(
    ROUTES.map((kind, index) =>
      startWorker({
        node: nodeName(index),
        route: routes[kind],
        capabilities: index % 2 === 0 ? ["gpu"] : [],
        slots: SLOTS,
        leaseMs: LEASE_MS,
        seed,
        logFolder,
      }),
    ),
  );
  stack.defer(() => stopAll(workers));

  links.http.setWeather(weatherOf(HTTP_LINK, random.fork("http weather")));
  links.direct.setWeather(weatherOf(DIRECT_LINK, random.fork("direct weather")));
  links.inner.setWeather(weatherOf(INNER_LINK, random.fork("inner weather")));

  const startedAt = performance.now();
  const seconds = () => (performance.now() - startedAt) / 1000;
  const producing = new AbortController();
  const faulting = new AbortController();
  const serving = new AbortController();
  stack.defer(() => {
    for (const part of [producing, faulting, serving]) part.abort();
  });
  const report = async () => {
    onProgress?.(`${seconds().toFixed(0)} s: ${await countOpen(testbed)} jobs open`);
  };
  // While Postgres is down the count fails; the next tick reports again.
  const ticker = setInterval(() => void report().catch(() => {}), PROGRESS_MS);
  stack.defer(() => clearInterval(ticker));
  const production = Promise.all(
    PRODUCERS.map((name) =>
      runProducer({
        name,
        queue: open(name, routes.supabase),
        random: random.fork(name),
        hosts: [nodeName(0), ...ROUTES.slice(1, -1).map((_, index) => nodeName(index + 1))],
        maxJobs: maxJobs / PRODUCERS.length,
        countOpen: () => countOpen(testbed),
        signal: producing.signal,
      }),
    ),
  );
  const services = (["supabase", "postgres"] as const).map((kind) =>
    runHub({
      queue: open(`hub over ${kind}`, routes[kind]),
      random: random.fork(`hub over ${kind}`),
      signal: serving.signal,
    }),
  );
  const ghosts = open("ghost", routes.postgres);
  services.push(
    runGhost({ queue: ghosts, logFolder, random: random.fork("ghost"), signal: serving.signal }),
  );
  const durationMs = minutes * 60_000;
  const injection = inject(
    planFaults({
      durationMs,
      workers: workers.length,
      leaseMs: LEASE_MS,
      random: random.fork("plan"),
    }),
    { testbed, workers, signal: faulting.signal },
  );

  const timeIsUp = sleep(durationMs, undefined, { ref: false });
  // Services and faults go on until they are aborted: here they can only fail.
  await Promise.race([production, timeIsUp, ...services, injection.then(() => timeIsUp)]);
  producing.abort();
  faulting.abort();
  const added = (await production).reduce((sum, jobs) => sum + jobs, 0);
  const loadSeconds = seconds();

  for (const link of Object.values(links)) link.setWeather(() => undefined);
  const injected = await injection;
  await drain(testbed, seconds() * 1000 + DRAIN_MS, seconds);
  const drainedSeconds = seconds();
  serving.abort();
  await Promise.all(services);
  await stopAll(workers);
  // Every job is done: nothing that is repeated now may be recorded.
  const lastGhost = random.fork("last ghost");
  for (let times = 0; times < 50; times += 1) {
    await repeatOld({ queue: ghosts, logFolder, random: lastGhost });
  }

  const calls = readCalls(logFolder);
  const { states, events, violations } = await checkRound(testbed, calls);
  const crashes = workers.flatMap((worker) => worker.crashes.map((text) => `crashed: ${text}`));
  const result: RoundReport = {
    options,
    added,
    states,
    loadSeconds,
    drainSeconds: drainedSeconds - loadSeconds,
    checkSeconds: seconds() - drainedSeconds,
    events,
    calls: calls.length,
    injected,
    links: {
      http: links.http.counts,
      direct: links.direct.counts,
      inner: links.inner.counts,
    },
    settled: settleAnswers(calls, (caller) => caller !== "ghost"),
    ghostSettled: settleAnswers(calls, (caller) => caller === "ghost"),
    replayed,
    violations: [...crashes, ...violations],
    logFolder,
  };
  if (result.violations.length === 0) rmSync(logFolder, { recursive: true });
  return result;
}

/** Each worker's route to the queue. Nothing is pinned to the last worker, which dies for good. */
const ROUTES = [
  "supabase",
  "postgres",
  "supabase",
  "postgres",
  "supabase",
  "supabase",
  "postgres",
  "supabase",
] as const;

const PRODUCERS = ["producer 1", "producer 2", "producer 3"] as const;

const nodeName = (index: number) => `node-${index}`;

async function stopAll(workers: readonly Worker[]): Promise<void> {
  await Promise.all(workers.map((worker) => worker.stop()));
}

/** Counts the jobs that still need work; 0 while Postgres is down. */
async function countOpen({ sql }: Testbed): Promise<number> {
  const [row] = await sql<{ open: number }[]>`
    select count(*)::integer as open from public.loom_jobs where finished_at is null`.catch(
    () => [],
  );
  return row?.open ?? 0;
}

/** Waits until no job needs work and no delayed request is on its way. */
async function drain(testbed: Testbed, untilMs: number, seconds: () => number): Promise<void> {
  const links = Object.values(testbed.links);
  while (seconds() * 1000 < untilMs) {
    const isQuiet = links.every((link) => link.isQuiet());
    if (isQuiet && (await countOpen(testbed)) === 0) return;
    await sleep(250);
  }
}

function countReplay(tally: Tally, request: string, answer: string): void {
  const [, name = "?"] = /^POST \/rest\/v1\/rpc\/loom_(\w+)/.exec(request) ?? [];
  if (name !== "settle_jobs") tally.add("other calls");
  else for (const [, name = ""] of answer.matchAll(/"answer" ?: ?"(\w+)"/g)) tally.add(name);
}

function settleAnswers(calls: readonly LoggedCall[], isMeant: (caller: string) => boolean): Tally {
  const tally = new Tally();
  for (const { caller, method, args, answer } of calls) {
    if (method !== "settle" || !isMeant(caller)) continue;
    if (answer === undefined) tally.add("unanswered", (args[1] as Settlement[]).length);
    else for (const item of answer as SettlementAnswer[]) tally.add(item.answer);
  }
  return tally;
}

/** Counts things by name. */
export class Tally {
  readonly #counts = new Map<string, number>();

  add(name: string, count = 1): void {
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + count);
  }

  get total(): number {
    return [...this.#counts.values()].reduce((sum, count) => sum + count, 0);
  }

  /** "12 stale, 3 duplicate": the most frequent first. */
  toString(): string {
    return [...this.#counts]
      .sort(([, a], [, b]) => b - a)
      .map(([name, count]) => `${count.toLocaleString("en")} ${name}`)
      .join(", ");
  }
}
