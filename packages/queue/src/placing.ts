import { z } from "zod";
import type { Call, CallOptions } from "./call.ts";
import { type QueueDepth, queueDepth } from "./queue-depth.ts";
import { type WaitingJob, waitingJobs } from "./waiting-job.ts";

/** A job that gets a node, with the record of why. */
export interface Offer {
  job: number;
  node: string;
  placement: unknown;
}

/** A job that gets none, with why. */
export interface Refusal {
  job: number;
  reason: { code: string; summary: string };
}

/** What waits for a node, and which node it gets. */
export interface Placing {
  /**
   * Jobs to place next: up to `perKind` (1 to 500, default 50) of each distinct need and
   * priority, so that what nobody can run never hides what somebody could; and of those in
   * nine lanes, so that a long run hides few others of its workflow.
   *
   * @see sql/list_waiting.sql
   * @see sql/requirement_key.sql
   */
  listWaiting(options?: { perKind?: number }): Promise<WaitingJob[]>;

  /**
   * How much is due and has not begun, for a look at the queue: its cost follows the number of
   * different needs, not the queue's length.
   *
   * @param options.kinds - Kinds of need, and nodes, to look at; 1 to 1000, default 200.
   * @param options.count - Jobs to count of each kind; 1 to 10 000, default 1000.
   * @see sql/queue_depth.sql
   */
  queueDepth(options?: { kinds?: number; count?: number }): Promise<QueueDepth>;

  /**
   * Writes what a placing round decided. A job that is no longer waiting is left alone.
   *
   * @param decision.offerMs - How long a node may take to claim an offer; default 15 000.
   * @returns The ids of the jobs that were offered.
   * @see sql/place_jobs.sql
   */
  place(decision: { offers: Offer[]; refusals: Refusal[]; offerMs?: number }): Promise<number[]>;
}

export const placing = (call: Call, { notify }: CallOptions): Placing => ({
  listWaiting: ({ perKind = 50 } = {}) =>
    call("loom_list_waiting", { p_per_kind: perKind }, waitingJobs),

  queueDepth: ({ kinds = 200, count = 1_000 } = {}) =>
    call("loom_queue_depth", { p_kinds: kinds, p_count: count }, queueDepth),

  async place({ offers, refusals, offerMs = 15_000 }) {
    const { placed } = await call(
      "loom_place_jobs",
      { p_offers: offers, p_reasons: refusals, p_offer_ms: offerMs, p_notify: notify },
      z.object({ placed: z.array(z.int()) }),
    );
    return placed;
  },
});
