import type { JsonValue } from "@loom/workflow";
import { z } from "zod";
import { JobNotFoundError } from "../errors.ts";
import type { Call, PageOptions } from "../transport/call.ts";
import { instant, isUuid, jsonText, row, rows, shownJson } from "../transport/rows.ts";

/** Steps that no node runs: they sleep, or wait for a signal or a person. */
export interface Waits {
  /**
   * Gives new signals to the steps that wait for them, and ends waits that are due. Call it again while `more` is true.
   * Hubs may call it at the same time: every wait ends once.
   *
   * @param options.limit - 1 to 1000, default 500.
   * @see sql/waits.sql
   */
  endWaits(options?: { limit?: number }): Promise<EndedWaits>;

  /**
   * Sends a signal to the steps that wait for it. If there is none, it is kept for the next one that does.
   *
   * @throws QueueRequestError `INPUT_TOO_LARGE`, `SIGNALS_FULL`, `INVALID_ARGUMENT`.
   * @see sql/signals.sql
   */
  sendSignal(signal: NewSignal): Promise<SentSignal>;

  /**
   * Lists approvals, newest first, page by page: those that wait for a person or, with `pending: false`, all. One call
   * reads at most 10 000 rows: a page can be short or empty and still have a `next`. The last page has none.
   *
   * @see sql/approvals.sql
   */
  listApprovals(
    filter?: { pending?: boolean; workflow?: string; runId?: string } & PageOptions<number>,
  ): Promise<{ approvals: Approval[]; next: number | null }>;

  /**
   * Reads the approval that a step asks for.
   *
   * @param jobId - The job of the step.
   * @throws JobNotFoundError when the step has not asked.
   * @see sql/approvals.sql
   */
  getApproval(jobId: number): Promise<Approval>;

  /**
   * Records a person's decision, which ends the step. The same decision again gets the same answer.
   *
   * @throws JobNotFoundError when the step has not asked.
   * @throws QueueRequestError `APPROVAL_NOT_YOURS`, `APPROVAL_DECIDED`, `APPROVAL_OVER`, `APPROVAL_CHANGED`.
   * @see sql/approvals.sql
   */
  decideApproval(jobId: number, decision: ApprovalDecision): Promise<Approval>;
}

export const waits = (call: Call): Waits => ({
  endWaits: ({ limit = 500 } = {}) => call("loom_end_waits", { p_limit: limit }, endedWaits),

  sendSignal: ({ event, key, data, sentBy }) =>
    call(
      "loom_send_signal",
      {
        p_event: event,
        p_key: key ?? null,
        p_payload: JSON.stringify(data ?? null),
        p_sent_by: sentBy ?? null,
      },
      sentSignal,
    ),

  async listApprovals({ pending = true, workflow, runId, after, limit = 50 } = {}) {
    if (runId !== undefined && !isUuid(runId)) {
      return { approvals: [], next: null };
    }
    return call(
      "loom_list_approvals",
      {
        p_pending: pending,
        p_workflow: workflow ?? null,
        p_run: runId ?? null,
        p_after: after ?? null,
        p_limit: limit,
      },
      z.object({ approvals: rows(approval), next: z.int().nullable() }),
    );
  },

  async getApproval(jobId) {
    const found = await call("loom_get_approval", { p_job: jobId }, row(approval).nullable());
    if (!found) throw new JobNotFoundError(jobId);
    return found;
  },

  async decideApproval(jobId, { decision, digest, by, names, note, input }) {
    const found = await call(
      "loom_decide_approval",
      {
        p_job: jobId,
        p_decision: decision,
        p_digest: digest,
        p_by: by,
        p_names: names,
        p_note: note ?? null,
        p_input: input === undefined ? null : JSON.stringify(input),
      },
      row(approval).nullable(),
    );
    if (!found) throw new JobNotFoundError(jobId);
    return found;
  },
});

const endedWaits = row(
  z.object({
    /** The number of waits that were ended. */
    ended: z.int(),
    /** Whether there is more to end at once. */
    more: z.boolean(),
    /** Steps and signals for which it failed, with Postgres' messages. */
    failed: z.array(
      z.object({ job: z.int().optional(), signal: z.int().optional(), problem: z.string() }),
    ),
  }),
);

export type EndedWaits = z.output<typeof endedWaits>;

/** A signal to send. */
export interface NewSignal {
  /** What happened: 1 to 100 of `a-z`, `0-9`, dot, underscore and hyphen. */
  event: string;
  /** What it happened to; steps wait for one key. At most 300 characters. */
  key?: string | undefined;
  /** At most 256 KiB as JSON. Default null. */
  data?: JsonValue | undefined;
  sentBy?: string | undefined;
}

const sentSignal = row(
  z.object({
    id: z.int(),
    /** How many steps wait for it; 1000 stands for that many or more. With none, it is kept. */
    waiting: z.int(),
    /** For which keys of the event steps wait, five at most; empty text for none. */
    keys: z.array(z.string()),
  }),
);

export type SentSignal = z.output<typeof sentSignal>;

/** What may become of an approval. */
export const approvalStates = [
  "pending",
  "approved",
  "rejected",
  "timed_out",
  "cancelled",
] as const;

const approval = z.object({
  /** The job of the step that asks. */
  id: z.int(),
  runId: z.string(),
  workflow: z.string(),
  version: z.string(),
  step: z.string(),
  /** The requirements of its job, which name its code. */
  requires: z.array(z.string()),
  state: z.enum(approvalStates),
  title: z.string(),
  /** What the step shows; null if that is nothing. */
  shown: shownJson.nullable(),
  /** Of everything that was shown. A decision names it. */
  digest: z.string(),
  /** The names of tokens and tailnet identities that may decide; empty: all that may run. */
  who: z.array(z.string()),
  /** The JSON Schema of the input that a decision brings; null: none. */
  schema: z.record(z.string(), z.unknown()).nullable(),
  onTimeout: z.enum(["fail", "approve"]),
  askedAt: instant,
  expiresAt: instant.nullable(),
  decidedAt: instant.nullable(),
  /** Null also when the time ran out. */
  decidedBy: z.string().nullable(),
  note: z.string().nullable(),
  input: jsonText.nullable(),
});

/** What a step asks a person, and the answer. */
export type Approval = z.output<typeof approval>;

/** A person's decision. */
export interface ApprovalDecision {
  decision: "approved" | "rejected";
  /** The digest of what the person was shown. */
  digest: string;
  by: string;
  /** How the person may be named in `who`. */
  names: readonly string[];
  note?: string | undefined;
  /** What the step's schema made of the input. */
  input?: JsonValue | undefined;
}
