import { setTimeout as sleep } from "node:timers/promises";
import { type Queue, QueueRequestError } from "@loom/queue";
import type { RunPlan } from "@loom/workflow";
import { persist } from "./persist.ts";
import type { Random } from "./random.ts";
import { chooseJob, chooseLimit, chooseManner } from "./work.ts";

const MAX_BACKLOG = 4_000;

export interface ProducerOptions {
  /** Its keys begin with it. */
  readonly name: string;
  readonly queue: Queue;
  readonly random: Random;
  /** Nodes that jobs may be pinned to. */
  readonly hosts: readonly [string, ...string[]];
  /** How many jobs to add before it ends by itself. */
  readonly maxJobs: number;
  /** Jobs that are not finished, counted anew by every call. */
  readonly countOpen: () => Promise<number>;
  readonly signal: AbortSignal;
}

/** Adds jobs and runs, with keys, and repeats, cancels, retries and redrives some. Answers how many jobs. */
export async function runProducer(options: ProducerOptions): Promise<number> {
  const { name, queue, random, hosts, maxJobs, countOpen, signal } = options;
  const jobIds: number[] = [];
  const runIds: string[] = [];
  let added = 0;
  let serial = 0;
  const nextKey = () => {
    serial += 1;
    return `${name} ${serial}`;
  };

  async function addJobs(): Promise<void> {
    const size = random.int(20, 100);
    const batch = Array.from({ length: size }, () => chooseJob(nextKey(), random, hosts));
    const enqueue = () => persist(() => queue.enqueue(batch));
    const [answers] = await Promise.all(random.chance(0.1) ? [enqueue(), enqueue()] : [enqueue()]);
    jobIds.push(...answers.map(({ id }) => id));
    added += size;
  }

  async function addRun(): Promise<void> {
    const plan = choosePlan(random);
    const key = nextKey();
    const start = () => persist(() => queue.startRun(plan, { key }));
    const [{ runId }] = await Promise.all(random.chance(0.1) ? [start(), start()] : [start()]);
    runIds.push(runId);
    added += plan.jobs.length;
  }

  /** Does something to what is there already. */
  async function meddle(): Promise<void> {
    const jobs = Array.from({ length: 5 }, () => recent(jobIds, random));
    const run = recent(runIds, random);
    switch (random.int(0, 3)) {
      case 0:
        await persist(() => queue.cancel(jobs));
        break;
      case 1:
        await persist(() => queue.redrive(jobs));
        break;
      case 2:
        await persist(() => queue.cancelRun(run));
        break;
      case 3: {
        const options = { mode: random.pick(["all", "failed"] as const), key: nextKey() };
        await persist(() => queue.retryRun(run, options)).catch((error: unknown) => {
          if (!(error instanceof QueueRequestError)) throw error;
          if (!["RUN_NOT_FINISHED", "NOTHING_TO_RETRY"].includes(error.code)) throw error;
        });
        break;
      }
    }
  }

  while (!signal.aborted && added < maxJobs) {
    if ((await countOpen()) > MAX_BACKLOG) {
      await sleep(100);
      continue;
    }
    for (let batch = 0; batch < 8; batch += 1) await addJobs();
    for (let runs = 0; runs < 4; runs += 1) await addRun();
    await meddle();
  }
  return added;
}

/** One of the last few hundred, some of which are finished and some not. */
function recent<Item>(items: readonly Item[], random: Random): Item {
  const [first, ...others] = items.slice(-300);
  if (first === undefined) throw new Error("nothing was added yet");
  return random.pick([first, ...others]);
}

/** Three to eight steps, each after one or two earlier ones or none. */
function choosePlan(random: Random): RunPlan {
  const steps: string[] = [];
  const jobs = Array.from({ length: random.int(3, 8) }, (_, index): RunPlan["jobs"][number] => {
    const after = new Set(
      index === 0 || random.chance(0.15)
        ? []
        : Array.from({ length: random.int(1, 2) }, () => steps[random.int(0, index - 1)] ?? ""),
    );
    const step = `s${index}-${chooseManner(random)}`;
    steps.push(step);
    return {
      step,
      after: [...after],
      requires: [],
      host: null,
      prefers: [],
      priority: 80,
      timeoutMs: 20_000,
      retry: { attempts: 2, backoff: { kind: "fixed", delayMs: 20, maxDelayMs: 20 } },
      maxCrashRestarts: random.pick([1, 10]),
      startWithinMs: random.chance(0.02) ? random.int(2_000, 10_000) : null,
      concurrency: random.chance(0.01) ? chooseLimit(random) : null,
    };
  });
  return { workflow: "pipeline", version: "v1", input: {}, jobs };
}
