import { hookRules } from "@loom/workflow/hook-rules";
import { z } from "zod";
import type { Call, PageOptions } from "../transport/call.ts";
import { instant, isUuid, jsonText, row, rows } from "../transport/rows.ts";

/** A delivery that is no longer tried has state `delivered` or `failed`. */
const deliveryStates = ["pending", "delivered", "failed"] as const;

export const delivery = z.object({
  id: z.string(),
  hook: z.string(),
  rule: z.enum([...hookRules, "test"]),
  /** What it is about: a run, a workflow, the job that asks, a node, a schedule; for a test, the hook. */
  subject: z.string(),
  facts: jsonText,
  state: z.enum(deliveryStates),
  attempts: z.int(),
  /** When the next attempt follows; null when it has ended. */
  nextAt: instant.nullable(),
  createdAt: instant,
  /** The newest attempt: when it began, the answer's status and first 200 characters, and what went wrong. */
  sentAt: instant.nullable(),
  status: z.int().nullable(),
  tookMs: z.int().nullable(),
  answer: z.string().nullable(),
  error: z.string().nullable(),
});
/** A message of a hook, and what became of it. */
export type Delivery = z.output<typeof delivery>;

const taken = z.object({
  answer: z.enum(["taken", "deposed"]),
  deliveries: rows(
    z.object({
      id: z.string(),
      hook: z.string(),
      rule: z.enum([...hookRules, "test"]),
      subject: z.string(),
      facts: jsonText,
      /** The number of this attempt, from 1. */
      attempt: z.int(),
      createdAt: instant,
      sealed: z.string(),
    }),
  ),
  /** How long until another hook's delivery is due, in milliseconds; null if none is pending. */
  dueInMs: z.number().nullable(),
});
/** A delivery to send now. */
export type TakenDelivery = z.output<typeof taken>["deliveries"][number];

const recordedDelivery = z.object({ recorded: z.boolean(), state: z.enum(deliveryStates) });

/** How an attempt ended. Without an error, it arrived. */
export interface AttemptOutcome {
  tookMs: number;
  status?: number | undefined;
  /** The beginning of the answer. */
  answer?: string | undefined;
  error?: string | undefined;
  /** The target asks for no attempt before that. */
  retryAfterMs?: number | undefined;
}

/** The messages that hooks send. */
export interface Deliveries {
  /** Lists the deliveries of a hook, newest first; null if the hook does not exist. @see sql/deliveries.sql */
  listDeliveries(
    name: string,
    options?: PageOptions<string>,
  ): Promise<{ deliveries: Delivery[]; next: string | null } | null>;
  /**
   * Adds a test message. Null if the hook does not exist.
   *
   * @throws QueueRequestError `HOOK_BACKLOG_FULL`.
   * @see sql/deliveries.sql
   */
  testHook(name: string, askedBy: string): Promise<Delivery | null>;
  /**
   * Sends a delivery again that has ended. Null if the hook has no such delivery.
   *
   * @throws QueueRequestError `DELIVERY_PENDING`.
   * @see sql/deliveries.sql
   */
  redeliver(name: string, id: string): Promise<Delivery | null>;

  /**
   * Takes the next due delivery of each hook, for the leading hub to send.
   *
   * @param options.busy - Hooks that the caller still sends for.
   * @see sql/deliveries.sql
   */
  takeDeliveries(options: {
    epoch: number;
    busy: readonly string[];
  }): Promise<z.output<typeof taken>>;
  /**
   * Records how an attempt ended. Returns the delivery's state; null if another attempt has begun.
   *
   * @see sql/deliveries.sql
   */
  recordDelivery(
    delivery: Pick<TakenDelivery, "id" | "attempt">,
    outcome: AttemptOutcome,
  ): Promise<Delivery["state"] | null>;
}

export const deliveries = (call: Call): Deliveries => ({
  listDeliveries: (name, { after, limit = 50 } = {}) =>
    call(
      "loom_list_deliveries",
      { p_hook: name, p_after: after ?? null, p_limit: limit },
      z.object({ deliveries: rows(delivery), next: z.string().nullable() }).nullable(),
    ),

  testHook: (name, askedBy) =>
    call("loom_test_hook", { p_hook: name, p_asked_by: askedBy }, row(delivery).nullable()),

  async redeliver(name, id) {
    if (!isUuid(id)) return null;
    return call("loom_redeliver", { p_hook: name, p_delivery: id }, row(delivery).nullable());
  },

  takeDeliveries: ({ epoch, busy }) =>
    call("loom_take_deliveries", { p_epoch: epoch, p_busy: busy }, row(taken)),

  async recordDelivery({ id, attempt }, { tookMs, status, answer, error, retryAfterMs }) {
    const args = {
      p_delivery: id,
      p_attempt: attempt,
      p_took_ms: Math.round(tookMs),
      p_status: status ?? null,
      p_answer: answer ?? null,
      p_error: error ?? null,
      p_retry_after_ms: retryAfterMs ?? null,
    };
    const { recorded, state } = await call("loom_record_delivery", args, recordedDelivery);
    return recorded ? state : null;
  },
});
