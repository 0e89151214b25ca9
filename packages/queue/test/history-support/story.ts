import type { QueueEvent } from "@loom/queue";

export type Told = Pick<QueueEvent, "type"> & Partial<QueueEvent>;

/** A history made by hand: an event each, or a list for what one transaction writes; a second apart. */
export function tell(...told: readonly (Told | readonly Told[])[]): QueueEvent[] {
  let seq = 0;
  return told.flatMap((together, transaction) =>
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
export const ofRun = (...told: readonly Told[]): Told[] =>
  told.map((event) => ({ ...event, runId: RUN }));
export const runStarted: Told = { type: "run.started", runId: RUN, state: "running" };
export const runFinished = (state = "succeeded"): Told => ({
  type: "run.finished",
  runId: RUN,
  state,
});

export const hello = (node: string, epoch = 1): Told => ({ type: "node.hello", node, epoch });
export const dead = (node: string, epoch = 1): Told => ({ type: "node.dead", node, epoch });

export const created = (jobId: number, state = "waiting", node: string | null = null): Told => ({
  type: "job.created",
  jobId,
  state,
  node,
});
export const ready = (jobId: number, state = "waiting"): Told => ({
  type: "job.ready",
  jobId,
  state,
});
export const skipped = (jobId: number): Told => ({ type: "job.skipped", jobId, state: "skipped" });
export const offered = (jobId: number, node: string): Told => ({
  type: "job.offered",
  jobId,
  state: "pending",
  node,
});
export const offerExpired = (jobId: number, node: string): Told => ({
  type: "job.offer_expired",
  jobId,
  state: "waiting",
  node,
});
export const declined = (jobId: number, node: string): Told => ({
  type: "job.declined",
  jobId,
  state: "waiting",
  node,
});
export const expired = (jobId: number): Told => ({ type: "job.expired", jobId, state: "failed" });
export const claimed = (jobId: number, node: string, fence = 1, epoch = 1): Told => ({
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
): Told => ({ type: "job.settled", jobId, state, node, fence, detail });
export const requeued = (jobId: number, node: string, fence = 1, state = "waiting"): Told => ({
  type: "job.requeued",
  jobId,
  state,
  node,
  fence,
});
export const cancelRequested = (jobId: number, node: string, fence = 1): Told => ({
  type: "job.cancel_requested",
  jobId,
  state: "running",
  node,
  fence,
});
export const cancelled = (jobId: number): Told => ({
  type: "job.cancelled",
  jobId,
  state: "cancelled",
});
