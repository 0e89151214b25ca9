import { setTimeout as sleep } from "node:timers/promises";
import {
  type ClaimedJob,
  type NewJob,
  type Queue,
  QueueRequestError,
  type Settlement,
} from "@loom/queue";
import type { Concurrency, RunPlan } from "@loom/workflow";
import { persist } from "./queue-client.ts";
import type { Random } from "./random.ts";

const MAX_BACKLOG = 4_000;

export interface ProducerOptions {
  /** The prefix of the keys that it gives. */
  readonly name: string;
  readonly queue: Queue;
  readonly random: Random;
  /** Nodes that jobs may be pinned to. */
  readonly hosts: readonly [string, ...string[]];
  /** The number of jobs after which it ends by itself. */
  readonly maxJobs: number;
  /** Counts the unfinished jobs. */
  readonly countOpen: () => Promise<number>;
  readonly signal: AbortSignal;
}

/**
 * Adds keyed jobs and runs, and repeats, cancels, retries and redrives some of them.
 *
 * @returns How many jobs it added.
 */
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
    // Items come on top.
    added += plan.jobs.length;
  }

  /** Cancels, redrives or retries something that exists already. */
  async function meddle(): Promise<void> {
    const jobs = Array.from({ length: 5 }, () => recent(jobIds, random));
    const run = recent(runIds, random);
    switch (random.int(0, 5)) {
      case 0:
        await persist(() => queue.cancel(jobs));
        break;
      case 1:
        await persist(() => queue.redrive(jobs));
        break;
      case 2:
        await persist(() => queue.cancelRun(run));
        break;
      case 3:
        await persist(() => queue.sendSignal({ event: "go", key: random.pick(SIGNAL_KEYS) }));
        break;
      case 4:
        await decideSome();
        break;
      case 5: {
        const options = { mode: random.pick(["all", "failed"] as const), key: nextKey() };
        await persist(() => queue.retryRun(run, options)).catch((error: unknown) => {
          if (!(error instanceof QueueRequestError)) throw error;
          if (!["RUN_NOT_FINISHED", "NOTHING_TO_RETRY"].includes(error.code)) throw error;
        });
        break;
      }
    }
  }

  /** Decides approvals that are open, some of them twice. */
  async function decideSome(): Promise<void> {
    const { approvals } = await persist(() => queue.listApprovals({ limit: 10 }));
    for (const { id, digest } of approvals) {
      const decision = random.pick(["approved", "rejected"] as const);
      const decide = () =>
        persist(() =>
          queue.decideApproval(id, { decision, digest, by: name, names: [name] }),
        ).catch((error: unknown) => {
          if (!(error instanceof QueueRequestError)) throw error;
          if (!["APPROVAL_DECIDED", "APPROVAL_OVER"].includes(error.code)) throw error;
        });
      await Promise.all(random.chance(0.3) ? [decide(), decide()] : [decide()]);
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

/** Picks one of the last 300: some are finished, others are not. */
function recent<Item>(items: readonly Item[], random: Random): Item {
  const [first, ...others] = items.slice(-300);
  if (first === undefined) throw new Error("nothing was added yet");
  return random.pick([first, ...others]);
}

/** Chooses three to eight steps, each after up to two earlier ones. */
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
      runsAfter:
        after.size > 0 ? random.pick(["success", "success", "failure", "always"]) : "success",
      optional: random.chance(0.1),
      skip: random.chance(0.3) ? "cascade" : "pass",
      hasCondition: random.chance(0.1),
    };
  });
  const [first] = jobs;
  if (first && random.chance(0.3)) {
    const plain = { ...first, hasCondition: false, concurrency: null, startWithinMs: null };
    jobs.push({ ...plain, step: "wait", after: [first.step], wait: chooseWait(random) });
    jobs.push({ ...plain, step: "then-succeed", after: ["wait"], runsAfter: "always" });
  }
  if (first && random.chance(0.3)) {
    jobs.unshift({ ...first, step: "list", hasCondition: false, after: [], runsAfter: "success" });
    jobs.push({ ...first, step: `items-${chooseManner(random)}`, ...chooseMap(random) });
  }
  return { workflow: "pipeline", version: "v1", input: {}, jobs };
}

const SIGNAL_KEYS = ["a", "b", "c"] as const;

/** Chooses what a step waits for that no node runs. Nothing waits for longer than a few seconds. */
function chooseWait(random: Random): NonNullable<RunPlan["jobs"][number]["wait"]> {
  const timeoutMs = random.int(1_000, 4_000);
  switch (random.pick(["sleep", "signal", "approval"] as const)) {
    case "sleep":
      return { kind: "sleep", forMs: random.int(1_000, 4_000), until: null };
    case "signal": {
      const key = random.pick(SIGNAL_KEYS);
      return { kind: "signal", event: "go", key, timeoutMs, parses: false };
    }
    case "approval":
      return {
        ...{ kind: "approval", title: "Go on?", who: [], timeoutMs },
        ...{ onTimeout: random.pick(["fail", "approve"] as const) },
        ...{ inputSchema: null, defaultInput: null },
      };
  }
}

/** The longest list that a step maps over. */
const MOST_ITEMS = 20;

/** Chooses how a step maps over the result of the step `list`. */
const chooseMap = (random: Random) => ({
  after: ["list"],
  runsAfter: "success" as const,
  concurrency: null,
  map: {
    ...{ step: "list", path: null, key: null },
    concurrency: random.chance(0.3) ? random.int(1, 4) : null,
    tolerate: random.chance(0.3) ? random.int(1, 3) : null,
  },
});

/** The ways in which a job can behave. */
const MANNERS = ["succeed", "flaky", "fail", "release", "decline"] as const;
type Manner = (typeof MANNERS)[number];

const WORKFLOWS = ["ingest", "render", "notify"] as const;

/** Concurrency keys and their limits. */
const LIMITS = { one: 1, two: 2, three: 3, five: 5, eight: 8 } as const;
const LIMITED = ["one", "two", "three", "five", "eight"] as const;

/** Chooses a job without a run. */
function chooseJob(key: string, random: Random, hosts: readonly [string, ...string[]]): NewJob {
  const concurrency = random.chance(0.01) ? chooseLimit(random) : undefined;
  const isPinned = concurrency === undefined && random.chance(0.5);
  return {
    key,
    workflow: random.pick(WORKFLOWS),
    step: "only",
    input: { manner: chooseManner(random), text: "x".repeat(random.int(0, 200)) },
    priority: random.pick([50, 100]),
    timeoutMs: 20_000,
    retry: { attempts: 3, backoff: { kind: "exponential", delayMs: 50, maxDelayMs: 500 } },
    // Nodes are lost far more often here than in practice.
    maxCrashRestarts: random.pick([1, 10, 100]),
    ...(isPinned ? { host: random.pick(hosts) } : { requires: random.chance(0.3) ? ["gpu"] : [] }),
    ...(concurrency !== undefined && { concurrency }),
    ...(random.chance(0.02) && { startWithinMs: random.int(500, 5_000) }),
    ...(random.chance(0.05) && { delayMs: random.int(1, 3_000) }),
  };
}

function chooseLimit(random: Random): Concurrency {
  const key = random.pick(LIMITED);
  return { key, limit: LIMITS[key] };
}

function chooseManner(random: Random): Manner {
  if (random.chance(0.85)) return "succeed";
  return random.pick(["flaky", "flaky", "fail", "release", "decline"]);
}

/** Decides the outcome of an attempt. Its result names the claim that it belongs to. */
export function settlementOf(
  job: ClaimedJob,
  by: { node: string; epoch: number },
  isCancelled: boolean,
): Settlement {
  const claim = { id: job.id, fence: job.fence };
  const manner = mannerOf(job);
  const origin = { id: job.id, fence: job.fence, node: by.node, epoch: by.epoch };
  const succeeded = {
    ...claim,
    outcome: "succeeded",
    // The list is as long as its claim says, so a list of another claim has other items.
    result: job.step === "list" ? Array(job.id % (MOST_ITEMS + 1)).fill(origin) : origin,
  } as const;
  const failed = {
    ...claim,
    outcome: "failed",
    error: { name: "Error", message: manner },
  } as const;
  if (isCancelled) return { ...failed, retryable: false };
  if (manner === "fail") return { ...failed, retryable: false };
  if (manner === "flaky") return job.attempt === 1 ? failed : succeeded;
  if (manner === "release" && job.fence === 1) {
    return { ...claim, outcome: "released", reason: "later", delayMs: 100 };
  }
  if (manner === "decline" && job.fence === 1) {
    return { ...claim, outcome: "declined", reason: "not here" };
  }
  return succeeded;
}

/** Reads the manner from the name of a step, or from the input of a job without a run. */
function mannerOf(job: ClaimedJob): Manner | undefined {
  const manner =
    job.runId === null
      ? (job.input as { manner?: string }).manner
      : job.step.slice(job.step.indexOf("-") + 1);
  return MANNERS.find((known) => known === manner);
}
