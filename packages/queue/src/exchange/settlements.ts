import type { JsonValue } from "@loom/workflow";
import { z } from "zod";
import { toStorable } from "../transport/call.ts";

/** The outcome of an attempt under a claim (`id`, `fence`) of this node. */
export type Settlement = {
  id: number;
  fence: number;
  /** That the job has no run is a hint, which saves the database a look. */
  isSingle?: boolean | undefined;
} & (
  | { outcome: "succeeded"; result: JsonValue }
  | {
      outcome: "failed";
      error: JsonValue;
      /** False: no further attempt, even if some are left. Default true. */
      retryable?: boolean;
      /** The delay before the next attempt, in place of the job's own backoff. */
      delayMs?: number;
    }
  /** Given back without spending the attempt; with a delay, not due until then. */
  | { outcome: "released"; reason?: string; delayMs?: number }
  /** The same, and the hub learns that this node refuses the job. */
  | { outcome: "declined"; reason: string; delayMs?: number }
);

const settlementAnswer = z.object({
  id: z.int().nullable(),
  fence: z.int().nullable(),
  /**
   * - `accepted`: recorded.
   * - `salvaged`: recorded although the lease had been lost, because no node has claimed the job
   *   since.
   * - `duplicate`: this claim was settled before; the first outcome counts.
   * - `stale`: a newer claim exists, or the job is over. Nothing was written.
   * - `unknown`: this node never had such a job. Nothing was written.
   * - `too_large`: result over 1 MiB or error over 64 KiB. The node still owns the job.
   * - `invalid`: the item cannot be read. Nothing was written.
   */
  answer: z.enum(["accepted", "salvaged", "duplicate", "stale", "unknown", "too_large", "invalid"]),
  /** The job's state afterwards, if something was written. */
  state: z.string().nullable(),
});

export type SettlementAnswer = z.output<typeof settlementAnswer>;

export const settledAnswer = z.object({
  settled: z.object({
    /** The plain items that were recorded; null: all of them. */
    plain: z.array(z.int()).nullable(),
    /** The answers of the other items, in their order. */
    items: z.array(settlementAnswer).nullable(),
  }),
});

/**
 * Whether an item can be sent in columns: a success whose id and fence the database can read. One that comes twice is
 * sent in columns once.
 */
function isPlain(item: Settlement): item is Settlement & { outcome: "succeeded" } {
  return (
    item.outcome === "succeeded" &&
    isNumber(item.id, Number.MAX_SAFE_INTEGER) &&
    isNumber(item.fence, 2 ** 31 - 1)
  );
}

const isNumber = (value: unknown, most: number): boolean =>
  Number.isInteger(value) && (value as number) >= 0 && (value as number) <= most;

/** Splits what is to be settled into columns and items. */
export function split(settlements: readonly Settlement[]): {
  plain: Succeeded[];
  items: Settlement[];
} {
  const plain = new Map<number, Succeeded>();
  const items: Settlement[] = [];
  for (const settlement of settlements) {
    if (isPlain(settlement) && !plain.has(settlement.id)) plain.set(settlement.id, settlement);
    else items.push(settlement);
  }
  return { plain: [...plain.values()], items };
}

type Succeeded = Settlement & { outcome: "succeeded" };

/** Puts the answers in the order of what was to be settled. */
export function toSettled(
  settlements: readonly Settlement[],
  { settled }: z.output<typeof settledAnswer>,
): SettlementAnswer[] {
  const { plain, items } = split(settlements);
  const recorded = settled.plain && new Set(settled.plain);
  const rest = plain.filter(({ id }) => recorded !== null && !recorded.has(id));
  const answers = new Map<Settlement, SettlementAnswer>();
  for (const [at, item] of [...rest, ...items].entries()) {
    const answer = settled.items?.[at];
    if (answer) answers.set(item, answer);
  }
  return settlements.map(
    (item): SettlementAnswer =>
      answers.get(item) ?? {
        id: item.id,
        fence: item.fence,
        answer: "accepted",
        state: "succeeded",
      },
  );
}

/**
 * Converts an outcome to the item that the SQL function reads. Values of the node are sent as JSON
 * strings.
 */
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
      // A character that Postgres cannot extract from JSON would fail the whole batch.
      const reason = settlement.reason === undefined ? undefined : toStorable(settlement.reason);
      return { id, fence, outcome, reason, delay_ms: settlement.delayMs };
    }
  }
}
