import { isDeepStrictEqual } from "node:util";
import type { Node, Offer, Queue, Refusal, WaitingJob } from "@loom/queue";
import { type Placement, place } from "@loom/scheduler";
import { type Log, type Tracing, untraced } from "@loom/worker";
import { weighJob, weighNode } from "./explain/weigh.ts";

/** One hub's share in the life of jobs: from waiting to offered, and back when a node is lost. */
export interface Dispatcher {
  /**
   * One placing round: reads what waits, decides, writes offers and reasons.
   *
   * @returns The nodes that were offered something.
   */
  place(): Promise<Set<string>>;
  /** Gives back what dead nodes held and offers nobody took; fails what was not started in time. */
  reap(): Promise<void>;
  /** Removes what was finished long ago, batch by batch. */
  prune(): Promise<void>;
}

/**
 * Creates a dispatcher over a queue.
 *
 * Any number of hubs may dispatch at once: an offer is written only for a job that is
 * still waiting, and one reaper works at a time.
 */
export function createDispatcher({
  queue,
  log,
  onOffered = () => {},
  tracing = untraced,
}: {
  queue: Queue;
  log: Log;
  /** Called with each node that was offered something. */
  onOffered?: (node: Node) => void;
  tracing?: Tracing;
}): Dispatcher {
  /** A line and a span for each job that got a node: one of a batch that many runs share. */
  async function tell(offers: readonly Offer[], waiting: readonly WaitingJob[], since: number) {
    const jobs = new Map(waiting.map((job) => [job.id, job]));
    for (const { job: jobId, node } of offers) {
      const { runId = null, traceparent: parent = null } = jobs.get(jobId) ?? {};
      log.info({ jobId, runId, node }, "job offered");
      if (parent === null) continue;
      const attributes = { "loom.job": jobId, "loom.node": node };
      await tracing.span("place", { parent, attributes, since }, async () => {});
    }
  }

  return {
    async place() {
      const began = Date.now();
      const waiting = await queue.listWaiting();
      if (waiting.length === 0) return new Set();
      // After the jobs: a slot that another hub fills in between then counts as taken.
      const nodes = await queue.listNodes();

      const placements = place(waiting.map(weighJob), nodes.map(weighNode), {
        keep: RECORDED_NODES,
      });
      const offers: Offer[] = [];
      const refusals: Refusal[] = [];
      for (const [index, placement] of placements.entries()) {
        const job = waiting[index] as WaitingJob;
        if (placement.placed) offers.push(toOffer(job, placement));
        // A reason is written when it says something new, not every round.
        else if (!isDeepStrictEqual(job.waitingReason, placement.refusal)) {
          refusals.push({ job: job.id, reason: placement.refusal });
        }
      }
      if (offers.length === 0 && refusals.length === 0) return new Set();

      const placed = new Set(await queue.place({ offers, refusals }));
      const taken = offers.filter(({ job }) => placed.has(job));
      const offered = new Set(taken.map(({ node }) => node));
      for (const node of nodes) if (offered.has(node.name)) onOffered(node);
      await tell(taken, waiting, began);
      for (const { job, reason } of refusals) {
        log.info({ jobId: job, ...reason }, "job cannot be placed");
      }
      return offered;
    },

    async reap() {
      const { dead, requeued, expiredOffers } = await queue.reap();
      if (dead.length + requeued + expiredOffers > 0) {
        log.warn({ dead, requeued, expiredOffers }, "reaped");
      }
      const expired = await queue.expire();
      if (expired > 0) log.warn({ expired }, "jobs not started in time");
    },

    async prune() {
      for (;;) {
        const { more, ...removed } = await queue.prune();
        if (Object.values(removed).some((count) => count > 0)) log.info(removed, "pruned");
        if (!more) return;
      }
    },
  };
}

/** Of the nodes that fit, how many are kept with a job, beside their number. */
const RECORDED_NODES = 8;

const toOffer = (
  { id }: WaitingJob,
  { node, score, record }: Extract<Placement, { placed: true }>,
): Offer => ({ job: id, node, placement: { node, score, ...record } });
