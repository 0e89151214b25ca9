import type { Node, WaitingJob } from "@loom/queue";
import type { NodeView } from "@loom/scheduler";

/**
 * The facts of a job that the scheduler scores. Placing and explaining share it, so an explanation rests on
 * the same facts as the decision.
 */
export const toScoredJob = (job: WaitingJob) => ({ ...job, run: job.runId });

/** The facts of a node that the scheduler scores. */
export const toScoredNode = (node: Node): NodeView => ({
  name: node.name,
  capabilities: node.capabilities,
  online: node.online,
  lastSeenMs: node.lastSeenMs === null ? null : toRoughAge(node.lastSeenMs),
  status: node.status,
  slots: node.slots,
  busy: node.running + node.offered,
});

/**
 * Rounds an age down to a power of two. Reasons contain it ("last seen 4 min ago"), and a reason that changed
 * in every round would be written to every waiting job in every round.
 */
const toRoughAge = (ms: number): number => 2 ** Math.floor(Math.log2(Math.max(ms, 1)));
