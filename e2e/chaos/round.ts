import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Queue, Settlement, SettlementAnswer } from "@loom/queue";
import { type LoggedCall, logCalls, readCalls } from "./call-log.ts";
import { checkRound } from "./check.ts";
import { DIRECT_LINK, HTTP_LINK, INNER_LINK, planFaults, weatherOf } from "./fault-plan.ts";
import { startWorker, type Worker } from "./fleet.ts";
import { repeatOld, runGhost } from "./ghost.ts";
import { runHub } from "./hub-loop.ts";
import { inject } from "./injector.ts";
import { openQueue, type Route } from "./open-queue.ts";
import { runProducer } from "./producer.ts";
import { createRandom } from "./random.ts";
import type { RoundReport } from "./report.ts";
import { Tally } from "./tally.ts";
import { startTestbed, type Testbed } from "./testbed.ts";

/** The shortest that the queue allows: leases run out often. */
const LEASE_MS = 3_000;
const SLOTS = 120;
const DRAIN_MS = 120_000;
const PROGRESS_MS = 10_000;

export interface RoundOptions {
  readonly seed: string;
  /** How long faults are injected at most; draining and checking come after it. */
  readonly minutes: number;
  /** Ends earlier when so many jobs were added and all are done. */
  readonly maxJobs: number;
  /** Changes the migration: breaks the engine, to see it noticed. */
  readonly mutate?: (schema: string) => string;
  /** Hears now and then how far it is. */
  readonly onProgress?: (line: string) => void;
}

/** One round: load and faults, then quiet until all is done, then the checks. */
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
  const tell = async () => {
    onProgress?.(`${seconds().toFixed(0)} s: ${await countOpen(testbed)} jobs open`);
  };
  // A count that fails while Postgres is down is told again the next time.
  const ticker = setInterval(() => void tell().catch(() => {}), PROGRESS_MS);
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

  const hour = sleep(durationMs, undefined, { ref: false });
  // Services and faults go on until they are told; here they can only fail.
  await Promise.race([production, hour, ...services, injection.then(() => hour)]);
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
  // All is over: of what is said again now, nothing may be recorded.
  const lastly = random.fork("last ghost");
  for (let times = 0; times < 50; times += 1) {
    await repeatOld({ queue: ghosts, logFolder, random: lastly });
  }

  const calls = readCalls(logFolder);
  const { states, events, violations } = await checkRound(testbed, calls);
  const crashes = workers.flatMap((worker) => worker.crashes.map((text) => `crashed: ${text}`));
  const report: RoundReport = {
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
    haunted: settleAnswers(calls, (caller) => caller === "ghost"),
    replayed,
    violations: [...crashes, ...violations],
    logFolder,
  };
  if (report.violations.length === 0) rmSync(logFolder, { recursive: true });
  return report;
}

/** The way of each worker; nothing is pinned to the last one, which dies for good. */
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

/** Jobs that somebody still has to do something about; 0 while Postgres is away. */
async function countOpen({ sql }: Testbed): Promise<number> {
  const [row] = await sql<{ open: number }[]>`
    select (select count(*)::integer from public.loom_job_queue where state = 'waiting')
         + (select count(*)::integer from public.loom_job_queue where state = 'pending')
         + (select count(*)::integer from public.loom_job_queue where claimed_by is not null)
         + (select count(*)::integer from public.loom_job_queue
             where run_id is not null and finished_at is null and state = 'blocked') as open`.catch(
    () => [],
  );
  return row?.open ?? 0;
}

/** Waits until nothing is left to do and nothing late is under way any more. */
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
  else for (const [, said = ""] of answer.matchAll(/"answer" ?: ?"(\w+)"/g)) tally.add(said);
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
