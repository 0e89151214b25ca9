import { z } from "zod";
import { lead, reaped } from "./leadership.ts";
import { nodeRows, wakeServer } from "./nodes.ts";
import { waitingJobs } from "./placing.ts";
import type { Call } from "./transport/call.ts";
import { instant, row, rows } from "./transport/rows.ts";

/** A hub's regular work, in one call. */
export interface Rounds {
  /**
   * Takes or keeps the lead as `lead` does. If the caller leads, it also reaps or expires jobs, and
   * returns what there is to place, which nodes to wake and when the next round is due. A part that
   * fails is named in the answer, and the others follow.
   *
   * @param options.holder - As for `lead`.
   * @param options.leaseMs - As for `lead`.
   * @param options.seen - The `seen` of the last decision, unless it offered something: an equal
   *   state is not sent again.
   * @param options.wake - Whether to list nodes to wake. Default true.
   * @see sql/round.sql
   */
  round(options: {
    holder: string;
    leaseMs: number;
    seen?: string | undefined;
    wake?: boolean;
  }): Promise<Round>;
}

export const rounds = (call: Call): Rounds => ({
  round: ({ holder, leaseMs, seen, wake = true }) =>
    call(
      "loom_round",
      { p_holder: holder, p_lease_ms: leaseMs, p_seen: seen ?? null, p_wake: wake },
      row(round),
    ),
});

const placing = row(
  z.object({
    /** Identifies what a decision depends on. */
    seen: z.string(),
    /** The jobs to place, as `listWaiting` lists them; undefined if the caller has seen this state. */
    waiting: waitingJobs.optional(),
    /** The nodes at the same moment. */
    nodes: nodeRows.optional(),
  }),
);

const led = z.object({
  lead: row(lead),
  /** The database's clock. */
  now: instant,
  /** Whether there are other hubs, which take over when the lease ends. */
  hasFollowers: z.boolean(),
  /** Null when somebody has reaped within the last second. This round expired jobs instead. */
  reaped: row(reaped).nullable(),
  /** The number of jobs that failed because they were not started in time. */
  expired: z.int(),
  /** The parts that failed, with Postgres' messages. */
  failed: z.array(
    z.object({
      part: z.enum(["reap", "expire", "place", "wake", "due", "notify"]),
      problem: z.string(),
    }),
  ),
  /** Null when nothing waits. */
  placing: placing.nullable(),
  /** Whether steps need items: call `expandMaps`. */
  hasMaps: z.boolean(),
  /** The wake servers of nodes that have something to claim or to cancel. */
  wake: rows(wakeServer),
  /** `revision` changes with every schedule. `canStart`: the queued run of a schedule may start. */
  schedules: row(z.object({ revision: z.string(), canStart: z.boolean() })),
  /** Whether a delivery of a hook is due. */
  hasDeliveries: z.boolean(),
  /** Whether conditions of steps are to be evaluated. */
  hasConditions: z.boolean(),
  /** Whether signals are new, or waits are to be ended: call `endWaits`. */
  hasWaits: z.boolean(),
  /** Whether jobs are offered or running. */
  isBusy: z.boolean(),
  /** How long until the next round is due, in milliseconds; null if nothing is. */
  dueInMs: z.number().nullable(),
});

/** The answer to a hub that does not lead has only the lead. */
const round = z.union([led, z.object({ lead: row(lead) })]);

/** What a round found for the hub that leads. */
export type LedRound = z.output<typeof led>;

export type Round = z.output<typeof round>;

/** Whether the caller of a round leads. */
export const isLed = (answer: Round): answer is LedRound => "now" in answer;
