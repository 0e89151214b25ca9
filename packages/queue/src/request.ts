import { z } from "zod";
import { instant } from "./row.ts";
import type { Transport } from "./transport.ts";

/** What somebody asked for, as it is written down with what it changed. */
export interface ApiRequest {
  /** The name of a token, a person of the tailnet, … */
  who: string;
  /** The address it came from. */
  from: string;
  /** What was asked, in a word: `startRun`. */
  action: string;
  /** Of what: the path. */
  subject: string;
  /** The request's own id, as in logs. */
  id: string;
  /**
   * Makes a second request of this key be answered as the first one was, for a day. Keys are apart
   * by `who` and `action`; `fingerprint` tells what was asked, so that a key used twice is noticed.
   */
  idempotency?: { key: string; fingerprint: string };
  /**
   * Items of the answer, from 0, that have to be there already by their own `key`; what answers with one
   * run or job is item 0. One that would have to be made is refused with `NOT_EXISTING`, and the whole
   * request with it. What an earlier request with this key made is answered.
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
  /** How the answer of the database begins, as JSON. */
  answer: string | null;
}

const requestRecord = z.object({
  at: instant,
  detail: z
    .string()
    .transform((text): unknown => JSON.parse(text))
    .pipe(
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

export const requestPage = z.object({
  requests: z.array(
    requestRecord.transform(({ at, detail }): RequestRecord => ({ at, ...detail })),
  ),
  next: z.string().nullable(),
});

/**
 * A transport whose calls are written down with who asked for them, in their own transaction.
 *
 * @see sql/act.sql
 */
export const actingTransport = (
  transport: Transport,
  { onReplayed, idempotency, ...request }: ApiRequest,
): Transport => ({
  async call(name, args) {
    const given = (await transport.call("loom_act", {
      p_function: name,
      p_args: args,
      p_request: { ...request, ...idempotency },
    })) as { answer: unknown; replayed: boolean };
    if (given.replayed) onReplayed?.();
    return given.answer;
  },
});
