import type { ClaimedJob, NewJob, Settlement } from "@loom/queue";
import type { Concurrency } from "@loom/workflow";
import type { Random } from "./random.ts";

/** How a job behaves, as its input says. */
const MANNERS = ["succeed", "flaky", "fail", "release", "decline"] as const;
type Manner = (typeof MANNERS)[number];

const WORKFLOWS = ["ingest", "render", "notify"] as const;

/** Keys of which only so many jobs may run at a time. */
const LIMITS = { one: 1, two: 2, three: 3, five: 5, eight: 8 } as const;
const LIMITED = ["one", "two", "three", "five", "eight"] as const;

/** A job of its own, some of every kind. */
export function chooseJob(
  key: string,
  random: Random,
  hosts: readonly [string, ...string[]],
): NewJob {
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
    // Lost with its node more often here than anywhere.
    maxCrashRestarts: random.pick([1, 10, 100]),
    ...(isPinned ? { host: random.pick(hosts) } : { requires: random.chance(0.3) ? ["gpu"] : [] }),
    ...(concurrency !== undefined && { concurrency }),
    ...(random.chance(0.02) && { startWithinMs: random.int(500, 5_000) }),
    ...(random.chance(0.05) && { delayMs: random.int(1, 3_000) }),
  };
}

export function chooseLimit(random: Random): Concurrency {
  const key = random.pick(LIMITED);
  return { key, limit: LIMITS[key] };
}

export function chooseManner(random: Random): Manner {
  if (random.chance(0.85)) return "succeed";
  return random.pick(["flaky", "flaky", "fail", "release", "decline"]);
}

/** What an attempt comes to; the result tells whose it is. */
export function settlementOf(
  job: ClaimedJob,
  by: { node: string; epoch: number },
  isCancelled: boolean,
): Settlement {
  const claim = { id: job.id, fence: job.fence };
  const manner = mannerOf(job);
  const succeeded = {
    ...claim,
    outcome: "succeeded",
    result: { id: job.id, fence: job.fence, node: by.node, epoch: by.epoch },
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

/** A step of a run has the manner in its name, a job of its own in its input. */
function mannerOf(job: ClaimedJob): Manner | undefined {
  const said =
    job.runId === null
      ? (job.input as { manner?: string }).manner
      : job.step.slice(job.step.indexOf("-") + 1);
  return MANNERS.find((manner) => manner === said);
}
