import { z } from "zod";
import type { Call } from "./call.ts";
import { instant, row } from "./row.ts";

/**
 * What can happen. `job.*` carry a job, `run.*` a run, `node.*` a node; `workflow.*` and `schedule.*` name
 * theirs in `detail`.
 */
export const eventTypes = [
  "run.started",
  "run.finished",
  "job.created",
  "job.ready",
  "job.waiting",
  "job.offered",
  "job.offer_expired",
  "job.declined",
  "job.claimed",
  "job.settled",
  "job.requeued",
  "job.cancel_requested",
  "job.cancelled",
  "job.expired",
  "job.skipped",
  "node.hello",
  "node.dead",
  "node.paused",
  "node.draining",
  "node.resumed",
  "node.settle_refused",
  "workflow.paused",
  "workflow.resumed",
  "schedule.paused",
  "schedule.resumed",
  "request.done",
] as const;

const queueEvent = z.object({
  /** Where to go on reading behind this event. */
  cursor: z.string(),
  /** Rises with time for the events of one job, whatever order they are read in. */
  seq: z.int(),
  at: instant,
  type: z.enum(eventTypes),
  runId: z.string().nullable(),
  jobId: z.int().nullable(),
  /** The state after it, of the job; of the run where there is no job. */
  state: z.string().nullable(),
  node: z.string().nullable(),
  epoch: z.int().nullable(),
  fence: z.int().nullable(),
  /** More about it: of `job.waiting` the reason's code. */
  detail: z.string().nullable(),
});

export type EventType = (typeof eventTypes)[number];

/** One change of state, written by the transaction that made it. */
export type QueueEvent = z.output<typeof queueEvent>;

/** A part of the history, and where it goes on. */
export interface EventPage {
  events: QueueEvent[];
  cursor: string | null;
}

/** The history. */
export interface Events {
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

  /**
   * Finds the cursor behind which the events of the last `agoMs` are, by their own time, and not more of
   * them than `limit`. Around the beginning a few may be a little older, or missing.
   *
   * @param agoMs - 0 to 3 600 000.
   * @param options.limit - 1 to 20 000, the default.
   * @see sql/find_event_cursor.sql
   */
  findEventCursor(agoMs: number, options?: { limit?: number }): Promise<string>;
}

export const events = (call: Call): Events => ({
  readEvents: ({ after = null, limit = 500 } = {}) =>
    call(
      "loom_read_events",
      { p_after: after, p_limit: limit },
      z.object({ events: z.array(row(queueEvent)), cursor: z.string().nullable() }),
    ),

  async findEventCursor(agoMs, { limit = 20_000 } = {}) {
    const args = { p_ago_ms: agoMs, p_limit: limit };
    return (await call("loom_find_event_cursor", args, z.object({ cursor: z.string() }))).cursor;
  },
});
