import type { QueueEvent } from "@loom/queue";

export type WrittenEvent = Pick<QueueEvent, "type"> & Partial<QueueEvent>;

/** A history made by hand: an event each, or a list for what one transaction writes; a second apart. */
export function historyOf(
  ...written: readonly (WrittenEvent | readonly WrittenEvent[])[]
): QueueEvent[] {
  let seq = 0;
  return written.flatMap((together, transaction) =>
    [together].flat().map((event) => {
      seq += 1;
      return {
        cursor: `${700 + transaction}.${seq}`,
        seq,
        at: new Date(Date.UTC(2026, 0, 1, 0, 0, transaction)),
        runId: null,
        jobId: null,
        state: null,
        node: null,
        epoch: null,
        fence: null,
        detail: null,
        ...event,
      };
    }),
  );
}

export const RUN = "5e1f0c5a-0000-4000-8000-000000000001";

/** The same events, of a job of that run. */
export const ofRun = (...written: readonly WrittenEvent[]): WrittenEvent[] =>
  written.map((event) => ({ ...event, runId: RUN }));
export const runStarted: WrittenEvent = { type: "run.started", runId: RUN, state: "running" };
export const runFinished = (state = "succeeded"): WrittenEvent => ({
  type: "run.finished",
  runId: RUN,
  state,
});

export const hello = (node: string, epoch = 1): WrittenEvent => ({
  type: "node.hello",
  node,
  epoch,
});
export const dead = (node: string, epoch = 1): WrittenEvent => ({ type: "node.dead", node, epoch });
export const keyRevoked = (node: string, epoch: number | null = 1): WrittenEvent => ({
  type: "node.key_revoked",
  node,
  epoch,
});

export const created = (
  jobId: number,
  state = "waiting",
  node: string | null = null,
): WrittenEvent => ({
  type: "job.created",
  jobId,
  state,
  node,
});
/** An item of a step, pinned to forge. */
export const item = (jobId: number, step: number, state: string): WrittenEvent => ({
  ...created(jobId, state, "forge"),
  detail: `item of ${step}`,
});
export const mapped = (jobId: number, state = "succeeded"): WrittenEvent => ({
  type: "job.mapped",
  jobId,
  state,
});
export const ready = (jobId: number, state = "waiting"): WrittenEvent => ({
  type: "job.ready",
  jobId,
  state,
});
export const suspended = (jobId: number): WrittenEvent => ({
  type: "job.suspended",
  jobId,
  state: "suspended",
});
/** The end of a wait. */
export const woken = (jobId: number, at?: Date): WrittenEvent => ({
  type: "job.woken",
  jobId,
  state: "succeeded",
  ...(at && { at }),
});
export const resumed = (jobId: number): WrittenEvent => ({
  type: "job.resumed",
  jobId,
  state: "waiting",
});
export const skipped = (jobId: number, detail = "need_failed"): WrittenEvent => ({
  type: "job.skipped",
  jobId,
  state: "skipped",
  detail,
});
export const offered = (jobId: number, node: string): WrittenEvent => ({
  type: "job.offered",
  jobId,
  state: "pending",
  node,
});
export const offerExpired = (jobId: number, node: string): WrittenEvent => ({
  type: "job.offer_expired",
  jobId,
  state: "waiting",
  node,
});
export const declined = (jobId: number, node: string): WrittenEvent => ({
  type: "job.declined",
  jobId,
  state: "waiting",
  node,
});
export const expired = (jobId: number): WrittenEvent => ({
  type: "job.expired",
  jobId,
  state: "failed",
});
export const claimed = (jobId: number, node: string, fence = 1, epoch = 1): WrittenEvent => ({
  type: "job.claimed",
  jobId,
  state: "running",
  node,
  epoch,
  fence,
});
export const settled = (
  jobId: number,
  node: string,
  { fence = 1, state = "succeeded", detail = "accepted" } = {},
): WrittenEvent => ({ type: "job.settled", jobId, state, node, fence, detail });
export const requeued = (
  jobId: number,
  node: string,
  fence = 1,
  state = "waiting",
): WrittenEvent => ({
  type: "job.requeued",
  jobId,
  state,
  node,
  fence,
});
export const cancelRequested = (jobId: number, node: string, fence = 1): WrittenEvent => ({
  type: "job.cancel_requested",
  jobId,
  state: "running",
  node,
  fence,
});
export const cancelled = (jobId: number): WrittenEvent => ({
  type: "job.cancelled",
  jobId,
  state: "cancelled",
});
