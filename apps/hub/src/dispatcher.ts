import type { Node, Queue, WaitingJob } from "@loom/queue";
import { type NodeView, type Placement, placeAll } from "@loom/scheduler";
import type { Log } from "@loom/worker";

export interface Dispatcher {
  /**
   * One placing round: reads what waits, decides, writes offers and reasons.
   *
   * @returns The nodes that were offered something.
   */
  place(): Promise<Set<string>>;
  /** Gives back what dead nodes held and offers nobody took. */
  reap(): Promise<void>;
}

/**
 * The hub's side of a job's life: from waiting to offered, and back when a node is lost.
 *
 * Any number of hubs may do it at once: an offer is written only for a job that is
 * still waiting, and one reaper works at a time.
 */
export function createDispatcher({ queue, log }: { queue: Queue; log: Log }): Dispatcher {
  return {
    async place() {
      const waiting = await queue.listWaiting();
      if (waiting.length === 0) return new Set();
      const nodes = (await queue.listNodes()).map(toNodeView);

      const placements = placeAll(waiting.map(toRequest), nodes);
      const offers = [];
      const refusals = [];
      for (const [index, { id, placement }] of placements.entries()) {
        if (placement.placed) offers.push({ job: id, node: placement.node, placement });
        else if (isNews(waiting[index]?.waitingReason, placement)) {
          refusals.push({ job: id, reason: toReason(placement) });
        }
      }
      if (offers.length === 0 && refusals.length === 0) return new Set();

      const placed = new Set(await queue.place({ offers, refusals }));
      for (const { job, node } of offers) {
        if (placed.has(job)) log.info({ jobId: job, node }, "job offered");
      }
      for (const { job, reason } of refusals) {
        log.info(
          { jobId: job, code: reason.code, summary: reason.summary },
          "job cannot be placed",
        );
      }
      return new Set(offers.filter(({ job }) => placed.has(job)).map(({ node }) => node));
    },

    async reap() {
      const { dead, requeued, expiredOffers } = await queue.reap();
      if (dead.length + requeued + expiredOffers > 0) {
        log.warn({ dead, requeued, expiredOffers }, "reaped");
      }
    },
  };
}

const toRequest = ({ id, requires, prefers }: WaitingJob) => ({ id, step: { requires, prefers } });

const toNodeView = (node: Node): NodeView => ({
  name: node.name,
  capabilities: node.capabilities,
  online: node.online,
  lastSeenMs: node.lastSeenMs,
  status: node.status,
  slots: node.slots,
  busy: node.running + node.offered,
});

type Unplaced = Extract<Placement, { placed: false }>;

const toReason = ({ code, summary, missing }: Unplaced) => ({ code, summary, missing });

// A reason is written when it says something new; the summary alone may change with
// every round ("last seen 4 min ago"), and a row a round would be a write for nothing.
const isNews = (old: WaitingJob["waitingReason"] | undefined, { code, missing }: Unplaced) =>
  !old || old.code !== code || JSON.stringify(old.missing) !== JSON.stringify(missing);
