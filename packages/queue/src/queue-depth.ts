import { z } from "zod";
import { row } from "./row.ts";

const due = {
  /** That are due and have not begun; of each kind of need and priority, counted up to `count`. */
  jobs: z.int(),
  /** How long the first of them has been due, in milliseconds. */
  oldestMs: z.number(),
};

export const queueDepth = z.object({
  /** Without a node, by what they require. */
  waiting: z.array(row(z.object({ requires: z.array(z.string()), ...due }))),
  /** Offered to a node or pinned to it, and not claimed. */
  offered: z.array(row(z.object({ node: z.string(), ...due }))),
  /** There are more kinds than were looked at. */
  more: z.boolean(),
});

/** What is due and has not begun. */
export type QueueDepth = z.output<typeof queueDepth>;
