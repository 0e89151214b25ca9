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
      return data;
    },
  };
}

// supabase-js resolves with a plain object where others throw.
function toError(name: string, error: SqlError, status: number, signal: AbortSignal): Error {
  const detail = error.message || `HTTP ${status}`;
  // status 0: it caught an error of fetch; no answer arrived.
  if (status === 0) {
    return signal.aborted
      ? new QueueUnavailableError(name, "timeout", "no answer in time")
      : new QueueUnavailableError(name, "network", detail, { cause: error });
  }
  const known = fromSqlState(name, error);
  if (known) return known;
  if (status === 401 || status === 403) return new QueueAccessError(name, detail);
  if (status >= 500 || status === 429) {
    return new QueueUnavailableError(name, "server", `HTTP ${status}: ${detail}`, { cause: error });
  }
  return new QueueRequestError(name, { code: "INVALID_ARGUMENT", message: detail });
}
