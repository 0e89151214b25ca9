import type { SupabaseClient } from "@supabase/supabase-js";
import { QueueUnavailableError } from "../errors.ts";
import type { Transport } from "./call.ts";
import { answerError, networkError, timeoutError } from "./rest-errors.ts";

/** Creates a transport over `supabase.rpc()`, which needs only HTTPS. */
export function supabaseTransport(client: SupabaseClient, timeoutMs: number): Transport {
  return {
    async call(name, args) {
      const signal = AbortSignal.timeout(timeoutMs);
      // It resolves with a plain object where other clients throw.
      const { data, error, status } = await client.rpc(name, args).abortSignal(signal);
      if (status === 0) {
        // It caught an error of fetch: no answer arrived.
        if (signal.aborted) throw timeoutError(name);
        const { message, details } = error ?? { message: "no message", details: "" };
        throw networkError(name, message.slice(0, 300), { code: details, cause: error });
      }
      // The body of an error may be any JSON, even `null`.
      if (error || status >= 400) throw answerError(name, status, error);
      // Every function answers with JSON. supabase-js reports an empty 404 of a gateway as this
      // status.
      if (status === 204) throw new QueueUnavailableError(name, "server", "an empty answer");
      return data;
    },
  };
}
