import type { Node, WaitingJob } from "@loom/queue";
import type { NodeView } from "@loom/scheduler";

/**
 * A job as the scheduler weighs it. Placing and explaining both read it here, so that an
 * explanation cannot rest on other facts than the decision.
 */
export const weighJob = (job: WaitingJob) => ({ ...job, run: job.runId });

/** A node as the scheduler weighs it. */
export const weighNode = (node: Node): NodeView => ({
  name: node.name,
  capabilities: node.capabilities,
  online: node.online,
  lastSeenMs: node.lastSeenMs === null ? null : toRoughAge(node.lastSeenMs),
  status: node.status,
  slots: node.slots,
  busy: node.running + node.offered,
});

/**
 * Rounds an age down to a power of two: it is told in reasons ("last seen 4 min ago"), and one
 * that changed with every round would be written to every waiting job every round.
 */
const toRoughAge = (ms: number): number => 2 ** Math.floor(Math.log2(Math.max(ms, 1)));
