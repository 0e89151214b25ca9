import { z } from "zod";
import { JobNotFoundError } from "./errors.ts";
import { job, jobStates, waitingReason } from "./jobs.ts";
import type { Call, CallOptions } from "./transport/call.ts";
import { instant, row, rows } from "./transport/rows.ts";

/** The jobs that wait for a node, and the nodes that they get. */
export interface Placing {
  /**
   * Lists the jobs to place next: up to `perKind` (1 to 500, default 50) of each distinct need and
   * priority, so that jobs that no node can run never hide others. Each kind has nine lanes, so
   * that a long run hides few others of its workflow.
   *
   * @see sql/placeable.sql
   */
  listWaiting(options?: { perKind?: number }): Promise<WaitingJob[]>;

  /**
   * Counts the jobs that are due and have not started. The cost follows the number of different
   * needs, not the queue's length.
   *
   * @param options.kinds - The number of kinds of need, and of nodes; 1 to 1000, default 200.
   * @param options.count - The number of jobs to count of each kind; 1 to 10 000, default 1000.
   * @see sql/placeable.sql
   */
  queueDepth(options?: { kinds?: number; count?: number }): Promise<QueueDepth>;

  /**
   * Writes the decisions of a placing round. A job that is no longer waiting stays as it is.
   *
   * @param decision.offerMs - How long a node may take to claim an offer, and how long an open job is open. Default 15 000.
   * @param decision.open - Refused jobs that nodes may claim without an offer, in their order: the first of the nodes
   *   with a free slot takes it. Jobs with a concurrency key are never open.
   * @returns The ids of the jobs that were offered.
   * @see sql/place.sql
   */
  place(decision: {
    offers: Offer[];
    refusals: Refusal[];
    open?: OpenJob[];
    offerMs?: number;
  }): Promise<number[]>;

  /**
   * Explains why a job is not running: the facts that placing scores, and what holds it up.
   *
   * @throws JobNotFoundError
   * @see sql/placeable.sql
   */
  explainWait(jobId: number): Promise<JobWait>;
}

export const placing = (call: Call, { notify }: CallOptions): Placing => ({
  listWaiting: ({ perKind = 50 } = {}) =>
    call("loom_list_waiting", { p_per_kind: perKind }, waitingJobs),

  queueDepth: ({ kinds = 200, count = 1_000 } = {}) =>
    call("loom_queue_depth", { p_kinds: kinds, p_count: count }, queueDepth),

  async place({ offers, refusals, open = [], offerMs = 15_000 }) {
    const { placed } = await call(
      "loom_place_jobs",
      {
        ...{ p_offers: offers, p_reasons: refusals, p_offer_ms: offerMs, p_notify: notify },
        ...(open.length > 0 && { p_open: open }),
      },
      z.object({ placed: z.array(z.int()) }),
    );
    return placed;
  },

  async explainWait(jobId) {
    const found = await call("loom_explain_wait", { p_job: jobId }, row(jobWait).nullable());
    if (!found) throw new JobNotFoundError(jobId);
    return found;
  },
});

/** A job that gets a node, with the record of the decision. */
export interface Offer {
  job: number;
  node: string;
  placement: unknown;
}

/** A job that gets no node, with the reason. */
export interface Refusal {
  job: number;
  reason: { code: string; summary: string };
}

/** A job that nodes may claim without an offer. */
export interface OpenJob {
  job: number;
  /** At most 100. */
  nodes: readonly string[];
}

const nodeOutcomes = z.object({ node: z.string(), succeeded: z.int(), failed: z.int() });

const waitingFields = z.object({
  id: z.int(),
  runId: z.string().nullable(),
  workflow: z.string(),
  step: z.string(),
  /** The node that it is pinned to. A pinned job waits for that node only and is not placed. */
  host: z.string().nullable(),
  priority: z.int(),
  requires: z.array(z.string()),
  prefers: z.array(z.object({ clause: z.string(), weight: z.number() })),
  /** Nodes that gave it back before they started it, one entry each time, newest last. */
  declinedBy: z.array(z.string()),
  /** Nodes that were lost while they ran it, one entry each time. */
  crashedOn: z.array(z.string()),
  /**
   * Nodes that it is not placed on until `excludedUntil`: they gave it back or were lost with it
   * too often.
   */
  excluded: z.array(z.string()),
  /** When the excluded nodes are tried again. */
  excludedUntil: instant.nullable(),
  /** Whether nodes that were full may claim it without an offer. */
  isOpen: z.boolean(),
  /** The trace of the request that added it: https://www.w3.org/TR/trace-context */
  traceparent: z.string().nullable(),
  /** `running`: how many of the key's places are taken, counting offers. */
  concurrency: z.object({ key: z.string(), limit: z.int(), running: z.int() }).nullable(),
  /** The nodes that ran the steps that it needs. */
  ranOn: z.array(z.string()),
});

/** A job that waits for a node, with the facts that placing scores. */
export interface WaitingJob extends z.output<typeof waitingFields> {
  readonly waitingReason: z.output<typeof waitingReason> | null;
  /** How many steps of its run are offered or running. */
  readonly runInFlight: number;
  /** How often its step succeeded and failed, by node, over the last 20 times that it ran. */
  readonly history: readonly z.output<typeof nodeOutcomes>[];
}

/** Gives each job its reason, and the facts of its run and step, which the answer contains once beside the jobs. */
export const waitingJobs = z
  .object({
    jobs: rows(waitingFields),
    reasons: z.record(z.string(), waitingReason),
    runs: z.record(z.string(), z.int()),
    steps: z.array(
      row(z.object({ workflow: z.string(), step: z.string(), nodes: z.array(nodeOutcomes) })),
    ),
  })
  .transform(({ jobs, reasons, runs, steps }): WaitingJob[] => {
    const histories = new Map(steps.map((step) => [stepKey(step), step.nodes]));
    return jobs.map((job) => ({
      ...job,
      waitingReason: reasons[job.id] ?? null,
      runInFlight: job.runId === null ? 0 : (runs[job.runId] ?? 0),
      history: job.runId === null ? [] : (histories.get(stepKey(job)) ?? []),
    }));
  });

const stepKey = ({ workflow, step }: { workflow: string; step: string }): string =>
  `${workflow} ${step}`;

/** Why a job is not running, as of one moment. */
const jobWait = z.object({
  job: row(job),
  /** The facts that placing scores; of its key's places, those that other jobs take. */
  waiting: waitingJobs.transform(([waiting], context) => {
    if (waiting) return waiting;
    context.addIssue({ code: "custom", message: "the job has no facts for placing" });
    return z.NEVER;
  }),
  /** How long until it is due, by the database's clock; 0 when it is due. */
  dueInMs: z.number(),
  /** Whether its workflow is paused. */
  isPaused: z.boolean(),
  /** The steps that it needs and that have not ended. */
  openSteps: z.array(row(z.object({ step: z.string(), state: z.enum(jobStates) }))),
});

export type JobWait = z.output<typeof jobWait>;

const due = {
  /**
   * The number of jobs that are due and have not started, of each kind of need and priority up to
   * `count`.
   */
  jobs: z.int(),
  /** How long the oldest of them has been due, in milliseconds. */
  oldestMs: z.number(),
};

const queueDepth = z.object({
  /** Jobs without a node, by their requirements. */
  waiting: z.array(row(z.object({ requires: z.array(z.string()), ...due }))),
  /** Jobs that are offered to a node or pinned to it, and not claimed. */
  offered: z.array(row(z.object({ node: z.string(), ...due }))),
  /** Whether there are more kinds than were counted. */
  more: z.boolean(),
});

/** The jobs that are due and have not started. */
export type QueueDepth = z.output<typeof queueDepth>;
