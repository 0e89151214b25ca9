import { type JsonValue, limits } from "@loom/workflow";
import { z } from "zod";
import type { Call } from "../transport/call.ts";
import { jsonText, row, rows } from "../transport/rows.ts";

/** The conditions of steps: a hub evaluates them, and records what they decided. */
export interface Conditions {
  /**
   * Takes steps whose condition is to be evaluated, for 30 s; after that another hub takes them.
   *
   * @param options.limit - 1 to 100, default 20.
   * @see sql/conditions.sql
   */
  takeConditions(options?: { limit?: number }): Promise<TakenCondition[]>;
  /**
   * Records what conditions decided. `stale`: the step was taken again, decided, or cancelled meanwhile; nothing was
   * written for it.
   *
   * @see sql/conditions.sql
   */
  recordConditions(decisions: readonly ConditionDecision[]): Promise<ConditionAnswer[]>;
}

export const conditions = (call: Call): Conditions => ({
  takeConditions: ({ limit = 20 } = {}) =>
    call("loom_take_conditions", { p_limit: limit }, rows(takenCondition)),

  recordConditions: (decisions) =>
    call("loom_record_conditions", { p_items: decisions.map(toItem) }, z.array(conditionAnswer)),
});

const takenCondition = z.object({
  id: z.int(),
  /** Names this take of the step. */
  fence: z.int(),
  workflow: z.string(),
  version: z.string(),
  step: z.string(),
  requires: z.array(z.string()),
  input: jsonText,
  /** The results of the steps that it needs and that succeeded. */
  results: z.record(z.string(), jsonText),
  /** The signal that came, as JSON, for the step's schema; null: its other functions are to be called. */
  payload: z.string().nullable(),
});

/** A step whose condition this hub evaluates. */
export type TakenCondition = z.output<typeof takenCondition>;

/** What became of an evaluation. */
export type ConditionDecision = { id: number; fence: number } & (
  | { outcome: "skips" }
  /** It runs or, where no node runs it, begins to wait for what its functions returned. */
  | ({ outcome: "runs" } & WaitFacts)
  /** The step's schema made this of the signal that came. */
  | { outcome: "ends"; result: JsonValue }
  /** The step fails with this error. */
  | { outcome: "fails"; error: JsonValue }
  /** It could not be evaluated. It is due again after so many milliseconds. */
  | { outcome: "later"; reason: string; delayMs: number }
);

/** What the functions of a step returned that no node runs. */
export interface WaitFacts {
  /** When a sleep ends, as an ISO 8601 time. */
  readonly until?: string | undefined;
  /** The key of the signal that it waits for. */
  readonly key?: string | undefined;
  /** What an approval shows. */
  readonly shown?: JsonValue | undefined;
}

function toItem(decision: ConditionDecision): Record<string, unknown> {
  const { id, fence, outcome } = decision;
  switch (decision.outcome) {
    case "fails":
      return { id, fence, outcome, error: JSON.stringify(decision.error) };
    case "later": {
      const reason = decision.reason.replaceAll("\0", "\u{2400}").slice(0, limits.noteLength);
      return { id, fence, outcome, reason: reason.toWellFormed(), delay_ms: decision.delayMs };
    }
    case "ends":
      return { id, fence, outcome, result: JSON.stringify(decision.result) };
    case "runs": {
      const { until, key, shown } = decision;
      return {
        id,
        fence,
        outcome,
        until,
        key,
        ...(shown !== undefined && { shown: JSON.stringify(shown) }),
      };
    }
    default:
      return { id, fence, outcome };
  }
}

const conditionAnswer = row(z.object({ id: z.int(), answer: z.enum(["accepted", "stale"]) }));

export type ConditionAnswer = z.output<typeof conditionAnswer>;
