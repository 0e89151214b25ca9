import type { RunPlan } from "@loom/workflow";
import type { ClaimedJob, WaitingJob } from "./job.ts";
import type { HeartbeatAnswer, HelloAnswer, Node, NodeReport, Session } from "./node.ts";
import type { Run, StartedRun } from "./run.ts";
import type { Settlement, SettlementAnswer } from "./settlement.ts";

export interface StartRunOptions {
  trigger?: "api" | "manual" | "schedule";
  /** A second call with the same key for the same workflow answers with the first one's run. */
  key?: string;
  askedBy?: string;
}

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

export type ClaimAnswer =
  | {
      session: "live";
      /** The last number that brought jobs. The next claim takes a higher one. */
      seq: number;
      jobs: ClaimedJob[];
    }
  | { session: "dead" | "superseded" };

export interface Reaped {
  /** False when another reaper was at work: nothing was done. */
  reaped: boolean;
  /** Nodes that were declared dead now. */
  dead: string[];
  /** Jobs given back. */
  requeued: number;
  expiredOffers: number;
}

/**
 * The job queue. Every method is one SQL function and one transaction, and every
 * method may be called again when its answer was lost.
 *
 * A job is run at least once; its outcome is recorded exactly once.
 *
 * All methods throw `QueueUnavailableError` (try again), `QueueAccessError`,
 * `QueueSchemaError` and `QueueRequestError` (do not).
 */
export interface Queue {
  /**
   * Starts a run: all its steps, or nothing.
   *
   * @throws QueueRequestError `INPUT_TOO_LARGE` above 256 KiB, `INVALID_ARGUMENT`.
   * @see sql/start_run.sql
   */
  startRun(plan: RunPlan, options?: StartRunOptions): Promise<StartedRun>;

  /**
   * @throws RunNotFoundError
   * @see sql/get_run.sql
   */
  getRun(runId: string): Promise<Run>;

  /** Every node, by name. @see sql/list_nodes.sql */
  listNodes(): Promise<Node[]>;

  /**
   * Jobs to place next: up to `perKind` (1 to 500, default 50) of each distinct need
   * and priority, so that what nobody can run never hides what somebody could.
   *
   * @see sql/list_waiting.sql
   */
  listWaiting(options?: { perKind?: number }): Promise<WaitingJob[]>;

  /**
   * Writes what a placing round decided. A job that is no longer waiting is left alone.
   *
   * @param decision.offerMs - How long a node may take to claim an offer; default 15 000.
   * @returns The ids of the jobs that were offered.
   * @see sql/place_jobs.sql
   */
  place(decision: { offers: Offer[]; refusals: Refusal[]; offerMs?: number }): Promise<number[]>;

  /**
   * Opens a node's session. Jobs of an older incarnation of the node go back at once.
   *
   * @see sql/hello.sql
   */
  hello(report: NodeReport): Promise<HelloAnswer>;

  /** Renews the lease of all the node's running jobs. @see sql/heartbeat.sql */
  heartbeat(session: Session): Promise<HeartbeatAnswer>;

  /**
   * Takes due jobs that are offered to the node, most urgent first.
   *
   * @param options.seq - One more than the `seq` of the last answer, from 1. Repeating a number
   *   after a lost answer brings the same jobs.
   * @see sql/claim_jobs.sql
   */
  claim(session: Session, options: { seq: number; limit: number }): Promise<ClaimAnswer>;

  /**
   * Writes what attempts came to; up to 500 at once. The answer is per item and in
   * the order of the items: one that is refused does not harm the others.
   *
   * @see sql/settle_jobs.sql
   */
  settle(node: string, items: Settlement[]): Promise<SettlementAnswer[]>;

  /** Gives back what dead nodes held and offers nobody took. @see sql/reap.sql */
  reap(options?: { limit?: number }): Promise<Reaped>;
}
