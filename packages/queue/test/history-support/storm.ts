import { type NewJob, type Queue, QueueRequestError, type Settlement } from "@loom/queue";
import { makePlan } from "@loom/queue/testing";
import { type Agent, expireLease, join } from "./agent.ts";
import type { Lab } from "./lab.ts";
import { failure, release, success } from "./provocation.ts";
import { type Random, seeded } from "./seeded.ts";

const NODES = ["storm-a", "storm-b", "storm-c"];
const WORKFLOW = "storm";
const retry = { attempts: 3, backoff: { kind: "fixed", delayMs: 0, maxDelayMs: 0 } } as const;

/**
 * Two hundred steps of jobs and runs, and everybody at once: producers that repeat themselves,
 * agents that restart, fall silent, decline, repeat claims and settle late, two hubs, and a user
 * who cancels and repeats.
 * The seed decides what each of them does; when is up to the machine.
 */
export async function storm(lab: Lab, seed: number): Promise<void> {
  const { queue } = lab;
  const actors: ((random: Random) => Promise<unknown>)[] = [
    ...[0, 1].map((producer) => repeated(25, (random) => produce(queue, producer, random))),
    ...NODES.map((node) => agent(lab, node)),
    ...[0, 1].map(() => repeated(40, (random) => actAsHub(queue, random))),
    repeated(30, (random) => actAsUser(lab, random)),
  ];
  await Promise.all(actors.map((actor, stream) => lab.attempt(() => actor(seeded(seed, stream)))));
}

const repeated =
  (times: number, step: (random: Random) => Promise<unknown>) => async (random: Random) => {
    for (let time = 0; time < times; time += 1) await step(random);
  };

/** Both producers draw from the same keys. */
async function produce(queue: Queue, producer: number, random: Random): Promise<unknown> {
  if (random.chance(30)) {
    const host = random.chance(30) ? NODES[0] : undefined;
    const step = (name: string, ...after: string[]) => ({
      step: name,
      after,
      retry,
      host: host ?? null,
    });
    const steps = [step("a"), step("b", "a"), step("c", "a"), step("d", "b", "c")];
    const plan = makePlan(steps, { workflow: WORKFLOW });
    return queue.startRun(plan, { key: `run ${random.below(25)}` });
  }
  const host = random.chance(20) ? random.pick(NODES) : undefined;
  const job = (): NewJob => ({
    workflow: WORKFLOW,
    step: "single",
    input: producer,
    key: `job ${random.below(150)}`,
    retry,
    ...(host && { host }),
    ...(random.chance(10) && { startWithinMs: 1 + random.below(300) }),
    ...(random.chance(40) && { concurrency: { key: `key ${random.below(3)}`, limit: 2 } }),
  });
  return queue.enqueue([job(), job(), job(), job(), job()]);
}

/** Cancels and repeats this and that, finished or not. */
async function actAsUser({ queue, calls }: Lab, random: Random): Promise<unknown> {
  const ids = [random.below(200), random.below(200)];
  if (random.chance(40)) return queue.cancel(ids);
  if (random.chance(30)) return queue.redrive(ids);
  const runId = random.pick(
    calls.flatMap((call) => (call.method === "startRun" && call.answer) || []),
  )?.runId;
  if (!runId) return;
  if (random.chance(30)) return queue.cancelRun(runId);
  const mode = random.chance(50) ? "failed" : "all";
  return queue.retryRun(runId, { mode, key: `retry ${random.below(10)}` }).catch(ignoreRefusal);
}

// A run that has not finished is not repeated, nor what succeeded.
function ignoreRefusal(error: unknown): void {
  if (!(error instanceof QueueRequestError)) throw error;
}

/** Places what waits, sometimes with an offer that ends at once, opens some of it instead, and reaps. */
async function actAsHub(queue: Queue, random: Random): Promise<unknown> {
  const waiting = await queue.listWaiting({ perKind: 20 });
  const opened = waiting.filter(() => random.chance(30));
  // A few are both: the offer comes first.
  const offered = waiting.filter((job) => !opened.includes(job) || random.chance(10));
  await queue.place({
    offers: offered.map(({ id }) => ({
      job: id,
      node: random.pick(NODES) ?? "",
      placement: null,
    })),
    refusals: [],
    open: opened.map(({ id }) => ({ job: id, nodes: NODES.slice(0, 2) })),
    offerMs: random.chance(20) ? 1 : 15_000,
  });
  await queue.expire();
  return queue.reap();
}

function agent(lab: Lab, node: string) {
  return async (random: Random): Promise<void> => {
    const { queue } = lab;
    let self: Agent = await join(lab, node);
    let elders: Agent[] = [];
    let held: Settlement[] = [];
    const settled: Settlement[] = [];

    /** One or two copies of a claim, of a new number or of an older one. */
    async function claim(as: Agent, seq: number): Promise<void> {
      const limit = 1 + random.below(6);
      const copies = Array.from({ length: random.chance(25) ? 2 : 1 }, () =>
        queue.claim(as, { seq, limit }),
      );
      for (const answer of await Promise.all(copies)) {
        if (answer.session !== "live" || answer.jobs.length === 0) continue;
        as.seq = Math.max(as.seq, seq);
        held.push(...answer.jobs.map((job) => outcomeOf(job, random)));
      }
    }

    /** Some of what it holds, sometimes together with what it settled long ago. */
    async function settle(): Promise<void> {
      const items = held.filter(() => random.chance(60));
      held = held.filter((item) => !items.includes(item));
      settled.push(...items);
      const old = random.chance(40) ? [random.pick(settled), random.pick(settled)] : [];
      const batch = [...items, ...old.filter((item) => item !== undefined)];
      const copies = random.chance(20) ? [batch, batch.toReversed()] : [batch];
      await Promise.all(copies.map((copy) => queue.settle(node, copy)));
    }

    await repeated(60, async () => {
      const chance = random.below(100);
      if (chance < 40) return claim(self, self.seq + 1);
      if (chance < 45) return claim(self, Math.max(1, self.seq));
      if (chance < 50) return claim(random.pick(elders) ?? self, 1);
      if (chance < 80) return settle();
      if (chance < 85) return queue.decline(node, [random.below(200), random.below(200)], "busy");
      if (chance < 90) return expireLease(lab, node);
      const beat = await queue.heartbeat(self);
      if (beat.session === "live" && chance < 97) return beat;
      elders = [...elders, self];
      self = await join(lab, node);
      return self;
    })(random);
  };
}

function outcomeOf(job: { id: number; fence: number }, random: Random): Settlement {
  const chance = random.below(10);
  if (chance < 6) return success(job, `fence ${job.fence}`);
  return chance < 8 ? failure(job) : release(job);
}
