import { eventTypes } from "@loom/workflow/event-types";
import { z } from "zod";
import type { Call } from "../transport/call.ts";
import { instant, rows } from "../transport/rows.ts";

/** An event as the database answers with it. */
export const queueEvent = z.object({
  /** The cursor to read on from after this event. */
  cursor: z.string(),
  /** Rises with time among the events of one job, in whatever order they are read. */
  seq: z.int(),
  at: instant,
  type: z.enum(eventTypes),
  runId: z.string().nullable(),
  jobId: z.int().nullable(),
  /** The state after the event: of the job, or of the run if there is no job. */
  state: z.string().nullable(),
  node: z.string().nullable(),
  epoch: z.int().nullable(),
  fence: z.int().nullable(),
  /** Further facts, such as the reason's code for `job.waiting`. */
  detail: z.string().nullable(),
});

/** One change of state, written by the transaction that made it. */
export type QueueEvent = z.output<typeof queueEvent>;

/** A part of the history, and the cursor to read on from. */
export interface EventPage {
  events: QueueEvent[];
  cursor: string | null;
}

/** The history. */
export interface Events {
  /**
   * Reads the history after a cursor, oldest first; from its beginning without a cursor. `now`
   * returns a cursor after the last event.
   *
   * No event is missed, however late it commits. A long writing transaction in the same database
   * delays events until it ends.
   *
   * @param options.limit - 1 to 10 000, default 500.
   * @see sql/events.sql
   */
  readEvents(options?: { after?: string | null; limit?: number }): Promise<EventPage>;

  /**
   * Finds the cursor from which the events of the last `agoMs` are read, at most `limit` of them.
   * Near the start, a few events may be slightly older, or missing.
   *
   * @param agoMs - 0 to 3 600 000.
   * @param options.limit - 1 to 20 000, the default.
   * @see sql/events.sql
   */
  findEventCursor(agoMs: number, options?: { limit?: number }): Promise<string>;
}

export const events = (call: Call): Events => ({
  readEvents: ({ after = null, limit = 500 } = {}) =>
    call(
      "loom_read_events",
      { p_after: after, p_limit: limit },
      z.object({ events: rows(queueEvent), cursor: z.string().nullable() }),
    ),

  async findEventCursor(agoMs, { limit = 20_000 } = {}) {
    const args = { p_ago_ms: agoMs, p_limit: limit };
    return (await call("loom_find_event_cursor", args, z.object({ cursor: z.string() }))).cursor;
  },
});

/** Whether a text is a cursor of events that the database accepts. */
export const isEventCursor = (text: string): boolean => /^[0-9]{1,19}\.[0-9]{1,18}$/.test(text);

/** Whether one cursor of events is after another: `<transaction>.<number>`, whose parts compare as numbers. */
export function isCursorAfter(one: string, other: string): boolean {
  const [oneTransaction, oneNumber] = partsOf(one);
  const [otherTransaction, otherNumber] = partsOf(other);
  return oneTransaction === otherTransaction
    ? oneNumber > otherNumber
    : oneTransaction > otherTransaction;
}

function partsOf(cursor: string): [bigint, bigint] {
  const [transaction = "0", number = "0"] = cursor.split(".", 2);
  return [BigInt(transaction), BigInt(number)];
}
