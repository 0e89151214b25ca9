import { z } from "zod";
import { instant, jsonText } from "./row.ts";

const shared = {
  id: z.int(),
  /** Null: a job of its own, with its input in `payload`. */
  runId: z.string().nullable(),
  workflow: z.string(),
  step: z.string(),
  /** Within its workflow, no other job has it. */
  key: z.string().nullable(),
  payload: jsonText.nullable(),
  after: z.array(z.string()),
  requires: z.array(z.string()),
  /** The author named the node; it is never placed elsewhere. */
  hostPinned: z.boolean(),
  /** That node; null where it is placed. */
  pinnedTo: z.string().nullable(),
  priority: z.int(),
  /** 1-based; counts attempts whose failure was the step's, not lost nodes. */
  attempt: z.int(),
  maxAttempts: z.int(),
  /** How often a node was lost while running it. */
  crashRestarts: z.int(),
  /** Not due before this instant. */
  runAt: instant,
  /** Not started after this instant: it expires. */
  startBy: instant.nullable(),
  /** Nodes that gave it back unstarted, one entry each time, newest last; the last 20. */
  declinedBy: z.array(z.string()),
  /** Nodes that were lost while they ran it, one entry each time, newest last. */
  crashedOn: z.array(z.string()),
  concurrencyKey: z.string().nullable(),
  concurrencyLimit: z.int().nullable(),
  createdAt: instant,
  /** The node of the newest claim, kept when the claim is over. */
  ranOn: z.string().nullable(),
  /** What the last failed attempt left. */
  error: jsonText.nullable(),
};

/** Why a job has no node yet, as the placing loop last wrote it. */
export const waitingReason = z.looseObject({ code: z.string(), summary: z.string() });
export type WaitingReason = z.output<typeof waitingReason>;

/** One step of one run, a union on `state`: what cannot be there in a state is not there. */
export const job = z.discriminatedUnion("state", [
  z.object({ ...shared, state: z.literal("blocked") }),
  z.object({
    ...shared,
    state: z.literal("waiting"),
    waitingReason: waitingReason.nullable(),
  }),
  z.object({
    ...shared,
    state: z.literal("pending"),
    targetHost: z.string(),
    waitingReason: waitingReason.nullable(),
    placement: z.unknown(),
  }),
  z.object({
    ...shared,
    state: z.literal("running"),
    targetHost: z.string(),
    placement: z.unknown(),
    fence: z.int(),
    claimedAt: instant,
    cancelRequestedAt: instant.nullable(),
  }),
  z.object({
    ...shared,
    state: z.literal("succeeded"),
    targetHost: z.string(),
    placement: z.unknown(),
    claimedAt: instant,
    finishedAt: instant,
    result: jsonText,
  }),
  z.object({
    ...shared,
    state: z.enum(["failed", "cancelled"]),
    claimedAt: instant.nullable(),
    finishedAt: instant,
  }),
  z.object({ ...shared, state: z.literal("skipped"), finishedAt: instant }),
]);
export type Job = z.output<typeof job>;

/** A job that this node now owns. Everything it writes about it carries `id` and `fence`. */
export const claimedJob = z.object({
  id: z.int(),
  fence: z.int(),
  runId: z.string().nullable(),
  workflow: z.string(),
  /** The workflow's version when the run was planned; empty for a job without a run. */
  version: z.string(),
  step: z.string(),
  requires: z.array(z.string()),
  attempt: z.int(),
  maxAttempts: z.int(),
  timeoutMs: z.int(),
  /** Of the request that asked for it: https://www.w3.org/TR/trace-context */
  traceparent: z.string().nullable(),
  /** The run's input, parsed when the run was planned; or the job's own. */
  input: jsonText,
  /** Results of the steps this one comes after, by step name. */
  results: z.record(z.string(), jsonText),
});
export type ClaimedJob = z.output<typeof claimedJob>;
