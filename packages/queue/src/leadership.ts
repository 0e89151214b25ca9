import { z } from "zod";
import type { Call } from "./call.ts";
import { doorbell } from "./node.ts";
import { row } from "./row.ts";

const lead = z.object({
  leading: z.boolean(),
  /** Who leads. */
  holder: z.string(),
  /** Rises with every change of the holder; calls that only the leader may make take it. */
  epoch: z.int(),
  /** Of the node whose hub leads, where that is another one and has a doorbell. */
  doorbell: row(doorbell).nullable(),
  /** Until another may take over, unless the holder asks again. */
  expiresInMs: z.int(),
});
/** Who leads the hubs, as the one who asked was told. */
export type Lead = z.output<typeof lead>;

/** One hub at a time does what only one should do. */
export interface Leadership {
  /**
   * Takes the lead, or keeps it, for `leaseMs` (1000 to 3 600 000) by the database's clock.
   *
   * @param holder - Unique among hubs, 1 to 200 characters; `node/…` for a hub that works as that node.
   * @see sql/lead.sql
   */
  lead(holder: string, leaseMs: number): Promise<Lead>;
  /** Gives the lead up, so that another need not wait for the lease to run out. @see sql/resign.sql */
  resign(holder: string, epoch: number): Promise<void>;
}

export const leadership = (call: Call): Leadership => ({
  lead: (holder, leaseMs) =>
    call("loom_lead", { p_holder: holder, p_lease_ms: leaseMs }, row(lead)),

  async resign(holder, epoch) {
    const resigned = z.object({ resigned: z.boolean() });
    await call("loom_resign", { p_holder: holder, p_epoch: epoch }, resigned);
  },
});
