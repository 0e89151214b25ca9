import { z } from "zod";
import type { Call, PageOptions, Transport } from "./transport/call.ts";
import { instant, jsonText, rows } from "./transport/rows.ts";

/** The audit records of calls through `withAudit`. */
export interface Audit {
  /**
   * Lists audit records, newest first, page by page. One call reads at most 10 000 rows: a page can
   * be short or empty and still have a `next`. The last page has none.
   *
   * @see sql/audit.sql
   */
  listRequests(
    options?: PageOptions<string>,
  ): Promise<{ requests: RequestRecord[]; next: string | null }>;
}

export const audit = (call: Call): Audit => ({
  listRequests: ({ after, limit = 50 } = {}) =>
    call("loom_list_requests", { p_after: after ?? null, p_limit: limit }, requestPage),
});

/**
 * Creates a transport whose calls write an audit record in their own transaction.
 *
 * @see sql/audit.sql
 */
export const auditedTransport = (
  transport: Transport,
  { onReplayed, idempotency, ...request }: ApiRequest,
): Transport => ({
  async call(name, args) {
    const given = (await transport.call("loom_with_audit", {
      p_function: name,
      p_args: args,
      p_request: { ...request, ...idempotency },
    })) as { answer: unknown; replayed: boolean };
    if (given.replayed) onReplayed?.();
    return given.answer;
  },
});

/** A request to the API, as its audit record stores it. */
export interface ApiRequest {
  /** The caller: the name of a token, a person of the tailnet, … */
  who: string;
  /** The address that the request came from. */
  from: string;
  /** The action in a word: `startRun`. */
  action: string;
  /** The path of the request. */
  subject: string;
  /** The request's own id, as in logs. */
  id: string;
  /**
   * For a day, a second request with this key gets the first one's answer. Keys are separate for
   * each `who` and `action`. `fingerprint` identifies the request, so that a key that is used for
   * another request is refused.
   */
  idempotency?: { key: string; fingerprint: string };
  /**
   * Items of the answer, counted from 0, that must already exist under their own `key`. A run or
   * job that is returned alone is item 0. If an item would have to be created, the whole request is
   * refused with `NOT_EXISTING`. An item that an earlier request with the key created is returned.
   */
  existing?: readonly number[];
  /** Called when the answer is that of an earlier request with this key. */
  onReplayed?: () => void;
}

/** A request that changed something. */
export interface RequestRecord {
  at: Date;
  who: string;
  from: string | null;
  action: string;
  subject: string | null;
  id: string | null;
  /** The beginning of the database's answer, as JSON. */
  answer: string | null;
}

const requestRecord = z.object({
  at: instant,
  detail: jsonText.pipe(
    z.object({
      who: z.string(),
      from: z.string().nullable(),
      action: z.string(),
      subject: z.string().nullable(),
      id: z.string().nullable(),
      answer: z.string().nullable(),
    }),
  ),
});

const requestPage = z.object({
  requests: rows(requestRecord.transform(({ at, detail }): RequestRecord => ({ at, ...detail }))),
  next: z.string().nullable(),
});
