import { SourceError } from "./errors.ts";
import type { NameServer } from "./magic-dns.ts";

/**
 * Asks a name server, but not again for `retryMs` once it has given no sign of life: whoever asks
 * for ten nodes then waits once.
 */
export function createNameLookup(options: {
  nameServer: NameServer;
  retryMs: number;
  now: () => number;
}): (fqdn: string, signal?: AbortSignal) => Promise<string> {
  const { nameServer, retryMs, now } = options;
  let silence: { error: SourceError; at: number } | undefined;
  return async (fqdn, signal) => {
    if (silence && now() - silence.at < retryMs) throw silence.error;
    try {
      const ip = await nameServer.lookup(fqdn, { signal });
      silence = undefined;
      return ip;
    } catch (error) {
      if (error instanceof SourceError && error.code !== "BAD_RESPONSE") {
        silence = { error, at: now() };
      }
      throw error;
    }
  };
}
