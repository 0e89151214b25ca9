import type { JsonValue } from "@loom/workflow";
import { z } from "zod";
import { toStorable } from "./storable-text.ts";

/** What an attempt came to, about a claim (`id`, `fence`) of this node. */
export type Settlement = { id: number; fence: number } & (
  | { outcome: "succeeded"; result: JsonValue }
  | {
      outcome: "failed";
      error: JsonValue;
      /** False: no further attempt, however many are left. Default true. */
      retryable?: boolean;
      /** Wait this long instead of the job's own backoff. */
      delayMs?: number;
    }
  /** Given back without spending the attempt; with a delay, snoozed until then. */
  | { outcome: "released"; reason?: string; delayMs?: number }
  /** The same, and the hub learns that this node does not want the job. */
  | { outcome: "declined"; reason: string; delayMs?: number }
);

export const settlementAnswer = z.object({
  id: z.int().nullable(),
  fence: z.int().nullable(),
  /**
   * - `accepted`: recorded.
   * - `salvaged`: recorded, though the lease had been lost: nobody has claimed it since.
   * - `duplicate`: this claim was settled before; that is the recorded outcome.
   * - `stale`: a newer claim exists, or the job is over. Nothing was written.
   * - `unknown`: this node never had such a job. Nothing was written.
   * - `too_large`: result over 1 MiB or error over 64 KiB. The job is still this node's.
   * - `invalid`: the item cannot be read. Nothing was written.
   */
  answer: z.enum(["accepted", "salvaged", "duplicate", "stale", "unknown", "too_large", "invalid"]),
  /** The job's state after it, where something was written. */
  state: z.string().nullable(),
});
export type SettlementAnswer = z.output<typeof settlementAnswer>;

/** The item as the SQL function reads it: what the node says travels as a string of JSON. */
export function toItem(settlement: Settlement): Record<string, unknown> {
  const { id, fence, outcome } = settlement;
  switch (outcome) {
    case "succeeded":
      return { id, fence, outcome, result: JSON.stringify(settlement.result) };
    case "failed":
      return {
        id,
        fence,
        outcome,
        error: JSON.stringify(settlement.error),
        retryable: settlement.retryable ?? true,
        delay_ms: settlement.delayMs,
      };
    case "released":
    case "declined": {
      // A character that Postgres cannot take out of JSON would have the whole batch refused.
      const reason = settlement.reason === undefined ? undefined : toStorable(settlement.reason);
      return { id, fence, outcome, reason, delay_ms: settlement.delayMs };
    }
  }
}
