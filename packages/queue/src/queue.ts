import type { RunPlan } from "@loom/workflow";
import type { ApiTokens } from "./api-token.ts";
import type { DatabaseFacts } from "./database-facts.ts";
import type { EventPage } from "./event.ts";
import type { ClaimedJob, Job } from "./job.ts";
import type { JobWait } from "./job-wait.ts";
import type { Leadership } from "./leadership.ts";
import type { Lists } from "./lists.ts";
import type { LogChunk, LogPage } from "./log-chunk.ts";
import type { EnqueuedJob, NewJob } from "./new-job.ts";
import type {
  HeartbeatAnswer,
  HelloAnswer,
  Node,
  NodeDoorbell,
  NodeOffer,
  NodeReport,
  NodeStatusChange,
  ReportAnswer,
  Session,
} from "./node.ts";
import type { QueueDepth } from "./queue-depth.ts";
import type { ApiRequest } from "./request.ts";
import type { Run, StartedRun } from "./run.ts";
import type { Schedules } from "./schedule.ts";
import type { Settlement, SettlementAnswer } from "./settlement.ts";
import type { WaitingJob } from "./waiting-job.ts";

export interface StartRunOptions {
  trigger?: "api" | "manual" | "schedule";
  /** A second call with the same key for the same workflow answers with the first one's run. */
  key?: string;
  askedBy?: string;
  /** The run that this one repeats with another input. */
  retryOf?: string;
  /** The trace that its steps belong to: https://www.w3.org/TR/trace-context */
  traceparent?: string;
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

export interface Pruned {
  runs: number;
  jobs: number;
  /** Of schedules. */
  slots: number;
  events: number;
  /** There is more to remove: call again. */
  more: boolean;
}

/**
 * The job queue. Every method is one SQL function and one transaction, and every
 * method may be called again when its answer was lost; what is added then needs a key.
 *
 * A job is run at least once; its outcome is recorded exactly once.
 *
 * All methods throw `QueueUnavailableError` (try again), `QueueAccessError`,
 * `QueueSchemaError` and `QueueRequestError` (do not).
 */
export interface Queue extends ApiTokens, Lists, Leadership, Schedules {
  /**
   * The same queue, whose calls are written down as somebody's request, in the transaction of what
   * they change. A request with a key is done once; repeated, it gets the first one's answer.
   *
   * Every method throws `QueueRequestError` `IDEMPOTENCY_KEY_REUSED` when the key was another request's.
   *
   * @see sql/act.sql
   */
  actingFor(request: ApiRequest): Queue;

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

  /**
   * Cancels what is not finished of a run. Running steps learn of it with the next heartbeat.
   *
   * @returns The run's status: `running` while a node still has to stop a step.
   * @throws RunNotFoundError
   * @see sql/cancel_run.sql
   */
  cancelRun(runId: string): Promise<Run["status"]>;

  /**
   * Repeats a finished run as a new one. With `failed`, results of steps that succeeded are taken
   * over; with `from`, those that do not depend on that step.
   *
   * @param options.version - Of the workflow's code that is to run it; default: the old run's, which
   *   a node may no longer have.
   * @throws RunNotFoundError
   * @throws QueueRequestError `RUN_NOT_FINISHED`, `NOTHING_TO_RETRY`, `INVALID_ARGUMENT`.
   * @see sql/retry_run.sql
   */
  retryRun(
    runId: string,
    options: ({ mode: "all" | "failed" } | { mode: "from"; step: string }) & {
      key?: string;
      version?: string;
    },
  ): Promise<StartedRun>;

  /**
   * Adds jobs of their own, up to 1000 at once; all or none.
   *
   * @throws QueueRequestError `INPUT_TOO_LARGE`, `INVALID_ARGUMENT`.
   * @see sql/enqueue_jobs.sql
   */
  enqueue(jobs: readonly NewJob[]): Promise<EnqueuedJob[]>;

  /**
   * @throws JobNotFoundError
   * @see sql/get_job.sql
   */
  getJob(jobId: number): Promise<Job>;

  /**
   * Reads all that says why a job is not running: what placing weighs of it, and what holds it up.
   *
   * @throws JobNotFoundError
   * @see sql/weigh_job.sql
   */
  weighJob(jobId: number): Promise<JobWait>;

  /**
   * Cancels jobs: `cancelled` at once, `requested` of the node that runs it, or already `finished`.
   *
   * @see sql/cancel_jobs.sql
   */
  cancel(
    jobIds: readonly number[],
  ): Promise<{ id: number; answer: "cancelled" | "requested" | "finished" | "unknown" }[]>;

  /**
   * Adds a copy of failed or cancelled jobs that belong to no run; one copy a job, however often.
   *
   * @returns The copy of each job, null where there is nothing to redrive.
   * @see sql/redrive_jobs.sql
   */
  redrive(jobIds: readonly number[]): Promise<{ id: number; redrivenAs: number | null }[]>;

  /** Keeps a workflow's jobs from being placed and claimed; what runs goes on. @see sql/pause_workflow.sql */
  pauseWorkflow(workflow: string, note?: string): Promise<void>;

  /** @see sql/pause_workflow.sql */
  resumeWorkflow(workflow: string): Promise<void>;

  /** Every node, by name. @see sql/list_nodes.sql */
  listNodes(): Promise<Node[]>;

  /**
   * The doorbells of nodes that are online and have something to claim, by name.
   *
   * @see sql/list_doorbells.sql
   */
  listDoorbells(): Promise<NodeDoorbell[]>;

  /**
   * Pauses a node, drains it, or makes it active again. Its offers are placed elsewhere at once;
   * what it runs goes on, until the deadline of a drain.
   *
   * @returns How many offers were taken back.
   * @throws NodeNotFoundError
   * @throws QueueRequestError `INVALID_ARGUMENT`.
   * @see sql/set_node_status.sql
   */
  setNodeStatus(node: string, change: NodeStatusChange): Promise<{ returned: number }>;

  /**
   * Jobs to place next: up to `perKind` (1 to 500, default 50) of each distinct need
   * and priority, so that what nobody can run never hides what somebody could.
   *
   * @see sql/list_waiting.sql
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

  /**
   * Opens a node's session. Jobs of an older incarnation of the node go back at once.
   *
   * @see sql/hello.sql
   */
  hello(report: NodeReport): Promise<HelloAnswer>;

  /**
   * Says what the node offers from now on. When its capabilities differ from those before, offers
   * that demand something are placed again.
   *
   * @see sql/report_node.sql
   */
  reportNode(session: Session, report: NodeOffer): Promise<ReportAnswer>;

  /** Renews the lease of all the node's running jobs. @see sql/heartbeat.sql */
  heartbeat(session: Session): Promise<HeartbeatAnswer>;

  /**
   * Gives offers back that the node will not take, before claiming them.
   *
   * @returns The ids of those that were still its offers.
   * @see sql/decline_jobs.sql
   */
  decline(node: string, jobIds: readonly number[], reason: string): Promise<number[]>;

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

  /**
   * Appends output to the log of an attempt that the node still owns. Repeating it changes nothing.
   * A chunk holds at most 256 KiB. What Postgres cannot keep is replaced: a NUL by SUB (U+001A).
   *
   * @returns `too_large` beyond 10 MiB an attempt, `stale` when the claim is settled or a newer one exists.
   * @see sql/append_log.sql
   */
  appendLog(
    claim: { node: string; id: number; fence: number },
    chunks: readonly LogChunk[],
  ): Promise<"accepted" | "stale" | "unknown" | "too_large">;

  /**
   * Reads an attempt's output from a byte on; the newest attempt's by default.
   *
   * @param options.limit - Chunks at most; 1 to 1000, default 100.
   * @see sql/read_log.sql
   */
  readLog(
    jobId: number,
    options?: { fence?: number; from?: number; limit?: number },
  ): Promise<LogPage>;

  /**
   * Reads the history behind a cursor, oldest first; from its beginning where there is none.
   * `now` answers with a cursor behind all that has happened.
   *
   * No event is missed, however late it commits. A long writing transaction in the same
   * database holds events back until it ends.
   *
   * @param options.limit - 1 to 10 000, default 500.
   * @see sql/read_events.sql
   */
  readEvents(options?: { after?: string | null; limit?: number }): Promise<EventPage>;

  /** Gives back what dead nodes held and offers nobody took. @see sql/reap.sql */
  reap(options?: { limit?: number }): Promise<Reaped>;

  /** Fails jobs that were not started in time, and tells how many. @see sql/expire_jobs.sql */
  expire(options?: { limit?: number }): Promise<number>;

  /**
   * Removes what has been finished for longer than `keepDays` (default 30), in bounded batches of
   * `limit` (default 500) runs, jobs and events each.
   *
   * @see sql/prune.sql
   */
  prune(options?: { keepDays?: number; limit?: number }): Promise<Pruned>;

  /** The database's clock, and the migrations that it has had. @see sql/describe_database.sql */
  describeDatabase(): Promise<DatabaseFacts>;

  /**
   * What cannot be, as rows are now; empty when all is well. Reads everything: for tests and for
   * a doctor.
   *
   * @see sql/verify.sql
   */
  verify(): Promise<string[]>;
}
