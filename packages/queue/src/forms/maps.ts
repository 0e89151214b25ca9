import { z } from "zod";
import { JobNotFoundError } from "../errors.ts";
import { jobStates, waitingReason } from "../jobs.ts";
import type { Call, PageOptions } from "../transport/call.ts";
import { instant, row, rows } from "../transport/rows.ts";

/** Steps that map over a list, and their items. */
export interface Maps {
  /**
   * Makes items of the steps that need some, up to 500 in one call. Call it again while `more` is true. Hubs may call it
   * at the same time: no item is made twice.
   *
   * @see sql/maps.sql
   */
  expandMaps(options?: { limit?: number }): Promise<Expanded>;

  /**
   * Lists the items of a step in the order of its list, page by page. The last page has no `next`.
   *
   * @throws JobNotFoundError
   * @see sql/maps.sql
   */
  listItems(
    jobId: number,
    filter?: { state?: (typeof jobStates)[number] | undefined } & PageOptions<number>,
  ): Promise<{ items: ItemSummary[]; next: number | null }>;
}

export const maps = (call: Call): Maps => ({
  expandMaps: ({ limit = 500 } = {}) => call("loom_expand_maps", { p_limit: limit }, expanded),

  async listItems(jobId, { state, after, limit = 50 } = {}) {
    const found = await call(
      "loom_list_items",
      { p_map: jobId, p_state: state ?? null, p_after: after ?? null, p_limit: limit },
      z.object({ items: rows(itemSummary), next: z.int().nullable() }).nullable(),
    );
    if (!found) throw new JobNotFoundError(jobId);
    return found;
  },
});

const expanded = row(
  z.object({
    /** The number of items that were made. */
    made: z.int(),
    /** Whether there is more to make at once. */
    more: z.boolean(),
    /** Steps for which it failed, with Postgres' messages. */
    failed: z.array(z.object({ job: z.int(), problem: z.string() })),
  }),
);

export type Expanded = z.output<typeof expanded>;

const itemSummary = z.object({
  id: z.int(),
  /** The place in the list, from 0. */
  index: z.int(),
  /** What the workflow calls the item; its index if it does not say. */
  key: z.string(),
  state: z.enum(jobStates),
  /** The node that runs or ran it, or that it is offered to. */
  host: z.string().nullable(),
  attempt: z.int(),
  maxAttempts: z.int(),
  crashRestarts: z.int(),
  waitingReason: waitingReason.nullable(),
  /** The error of the last failed attempt; null also for a part that is very long. */
  error: z.object({ code: z.string().nullable(), message: z.string().nullable() }).nullable(),
  createdAt: instant,
  claimedAt: instant.nullable(),
  finishedAt: instant.nullable(),
});

/** An item as a list shows it: without its value and its result. */
export type ItemSummary = z.output<typeof itemSummary>;
