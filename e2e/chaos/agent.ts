import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { ClaimedJob, Queue, Session } from "@loom/queue";
import { persist } from "./persist.ts";
import type { Random } from "./random.ts";
import { settlementOf } from "./work.ts";

export interface AgentOptions {
  readonly queue: Queue;
  readonly node: string;
  readonly leaseMs: number;
  readonly slots: number;
  readonly capabilities: readonly string[];
  readonly random: Random;
  /** Stops claiming, and ends when what was claimed is settled. */
  readonly signal: AbortSignal;
}

/**
 * A small agent: says hello, keeps its lease, claims batches and settles them, several at a time.
 *
 * Every call is repeated until it is answered. A session that is dead or superseded is opened anew,
 * and what was claimed under the old one is settled all the same: the database has to refuse it.
 */
export async function runAgent(options: AgentOptions): Promise<void> {
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
    // An older start of this node, delivered late, took the name: only a newer start gets it back.
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
    // Long enough, now and then, for somebody to settle an older claim of the same jobs meanwhile.
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
