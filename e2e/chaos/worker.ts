// One agent in its own process: `node worker.ts <WorkerSettings as JSON>`.

import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { ClaimedJob, Queue, Session } from "@loom/queue";
import { logCalls, openQueue, persist, type Route } from "./queue-client.ts";
import { createRandom, type Random } from "./random.ts";
import { settlementOf } from "./workload.ts";

const { route, seed, logFile, ...agent } = JSON.parse(process.argv[2] ?? "") as WorkerSettings;
const shutdown = new AbortController();
process.once("SIGTERM", () => shutdown.abort());

const { queue, close } = openQueue(route);
const logged = logCalls(queue, { file: logFile, caller: seed });
await runAgent({
  ...agent,
  queue: logged.queue,
  random: createRandom(seed),
  signal: shutdown.signal,
});
logged.close();
await close();

interface AgentOptions {
  readonly queue: Queue;
  readonly node: string;
  readonly leaseMs: number;
  readonly slots: number;
  readonly capabilities: readonly string[];
  readonly random: Random;
  /** On abort, the agent stops claiming and ends once it has settled what it holds. */
  readonly signal: AbortSignal;
}

/**
 * Says hello, renews its lease, and claims and settles several batches at a time.
 *
 * It repeats every call until it gets an answer. When its session is dead or superseded, it opens a
 * new one, and still settles what it claimed under the old one: the database has to refuse that.
 */
async function runAgent(options: AgentOptions): Promise<void> {
  const { queue, node, leaseMs, slots, capabilities, random, signal } = options;
  let incarnation = randomUUID();
  let session: Session | undefined;
  let seq = 1;
  let held = 0;
  const cancelled = new Set<number>();
  const underway = new Set<Promise<void>>();

  const lose = (lost: Session, why: "dead" | "superseded") => {
    if (session?.epoch !== lost.epoch) return;
    session = undefined;
    // A hello of an older start arrived late and took the name. Only a newer start gets it back.
    if (why === "superseded") incarnation = randomUUID();
  };

  async function open(): Promise<Session> {
    const report = { name: node, incarnation, leaseMs, slots, capabilities };
    const { epoch } = await persist(() => queue.hello(report));
    seq = 1;
    session = { node, epoch };
    return session;
  }

  async function beat(): Promise<void> {
    while (!signal.aborted || underway.size > 0) {
      const asked = session;
      if (asked) {
        const answer = await persist(() => queue.heartbeat(asked));
        if (answer.session !== "live") lose(asked, answer.session);
        else for (const id of answer.cancel) cancelled.add(id);
      }
      await sleep(leaseMs / 4);
    }
  }

  async function work(jobs: readonly ClaimedJob[], by: Session): Promise<void> {
    // Sometimes long enough for an older claim of the same jobs to be settled in between.
    await sleep(random.chance(0.1) ? random.int(500, 2_500) : random.int(5, 120));
    const items = jobs.map((job) => settlementOf(job, by, cancelled.has(job.id)));
    const settle = () => persist(() => queue.settle(node, items));
    await Promise.all(random.chance(0.04) ? [settle(), settle()] : [settle()]);
  }

  async function claim(by: Session): Promise<void> {
    const limit = Math.min(random.int(20, 100), slots - held);
    const ask = () => persist(() => queue.claim(by, { seq, limit }));
    const [answer] = await Promise.all(random.chance(0.04) ? [ask(), ask()] : [ask()]);
    if (answer.session !== "live") {
      lose(by, answer.session);
      return;
    }
    seq = Math.max(seq, answer.seq + 1);
    if (answer.jobs.length === 0) {
      await sleep(random.int(20, 80));
      return;
    }
    held += answer.jobs.length;
    const batch = work(answer.jobs, by).finally(() => {
      underway.delete(batch);
      held -= answer.jobs.length;
    });
    underway.add(batch);
  }

  const beating = beat();
  while (!signal.aborted) {
    const by = session ?? (await open());
    if (held < slots) await claim(by);
    else await Promise.race(underway);
  }
  await Promise.all(underway);
  await beating;
}

/** The argument of this program. */
export interface WorkerSettings
  extends Pick<AgentOptions, "node" | "leaseMs" | "slots" | "capabilities"> {
  readonly route: Route;
  readonly seed: string;
  readonly logFile: string;
}
