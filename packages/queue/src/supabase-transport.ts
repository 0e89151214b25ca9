import type { SupabaseClient } from "@supabase/supabase-js";
import {
  QueueAccessError,
  QueueRequestError,
  QueueSchemaError,
  QueueUnavailableError,
} from "./errors.ts";
import type { Transport } from "./transport.ts";

/** What supabase-js resolves with instead of throwing: a plain object. */
interface PlainError {
  message: string;
  code?: string;
  details?: string | null;
  hint?: string | null;
}

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

function toError(name: string, error: PlainError, status: number, signal: AbortSignal): Error {
  const detail = error.message || `HTTP ${status}`;
  // status 0: supabase-js caught an error of fetch; no answer arrived.
  if (status === 0) {
    return signal.aborted
      ? new QueueUnavailableError(name, "timeout", "no answer in time")
      : new QueueUnavailableError(name, "network", detail, { cause: error });
  }
  // PGRST202: no such function in the schema cache. 42883 and 42P01: inside one of ours.
  if (["PGRST202", "42883", "42P01", "42703"].includes(error.code ?? "")) {
    return new QueueSchemaError(name, detail);
  }
  if (error.code?.startsWith("PT4")) {
    const { details, hint } = error;
    if (error.code === "PT403") return new QueueAccessError(name, detail);
    return new QueueRequestError(name, {
      code: details || "INVALID_ARGUMENT",
      message: detail,
      hint: hint ?? undefined,
    });
  }
  if (status === 401 || status === 403) return new QueueAccessError(name, detail);
  // 55P03 is our lock_timeout, 40P01 a deadlock that Postgres resolved: both pass.
  if (status >= 500 || status === 429 || ["55P03", "40P01"].includes(error.code ?? "")) {
    return new QueueUnavailableError(name, "server", `HTTP ${status}: ${detail}`, { cause: error });
  }
  return new QueueRequestError(name, { code: "INVALID_ARGUMENT", message: detail });
}
