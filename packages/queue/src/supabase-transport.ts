import type { SupabaseClient } from "@supabase/supabase-js";
import { QueueAccessError, QueueRequestError, QueueUnavailableError } from "./errors.ts";
import { fromSqlState, type SqlError } from "./sql-error.ts";
import type { Transport } from "./transport.ts";

/** The transport over `supabase.rpc()`: nothing but HTTPS is needed. */
export function supabaseTransport(client: SupabaseClient, timeoutMs: number): Transport {
  return {
    async call(name, args) {
      const signal = AbortSignal.timeout(timeoutMs);
      const { data, error, status } = await client.rpc(name, args).abortSignal(signal);
      if (error) throw toError(name, error, status, signal);
      // Every function answers with JSON. supabase-js makes this of an empty 404 of a gateway.
      if (status === 204) throw new QueueUnavailableError(name, "server", "an empty answer");
      return data;
    },
  };
}

// What a gateway says of the request itself: malformed, or too large.
const REFUSED = new Set([400, 413, 414, 431]);

// supabase-js resolves with a plain object where others throw.
function toError(name: string, error: SqlError, status: number, signal: AbortSignal): Error {
  // Whoever answers in place of PostgREST may do so with a page.
  const message = error.message?.slice(0, 300) || "no message";
  // status 0: it caught an error of fetch; no answer arrived.
  if (status === 0) {
    return signal.aborted
      ? new QueueUnavailableError(name, "timeout", "no answer in time")
      : new QueueUnavailableError(name, "network", message, { cause: error });
  }
  const known = fromSqlState(name, error);
  if (known) return known;
  const detail = `HTTP ${status}: ${message}`;
  if (status === 401 || status === 403) return new QueueAccessError(name, detail);
  // PostgREST gives every error a code. What has none says nothing about the call. An empty one,
  // with status 400, is PostgREST's own: it lost Postgres in the middle of the transaction.
  const isRefused = error.code ? status < 500 : error.code !== "" && REFUSED.has(status);
  return isRefused
    ? new QueueRequestError(name, { code: "INVALID_ARGUMENT", message: detail })
    : new QueueUnavailableError(name, "server", detail, { cause: error });
}
