import type { Scope } from "@loom/queue";
import { localApiSource } from "@loom/tailscale-resolver";
import type { Log } from "@loom/worker";
import type { TailnetAccess } from "./access/tailnet.ts";

/** Whom of the tailnet to let in: by a grant, or by login or tag. */
export interface TailnetRules {
  capability: string | undefined;
  scopesOf: Readonly<Record<string, readonly Scope[]>>;
}

/**
 * Asks the Tailscale daemon of this machine for its addresses, on which it can be asked who calls.
 * Undefined when there are no rules, or no daemon: then everybody needs a token.
 */
export async function openTailnet(
  { capability, scopesOf }: TailnetRules,
  log: Log,
): Promise<TailnetAccess | undefined> {
  if (capability === undefined && Object.keys(scopesOf).length === 0) return undefined;
  const daemon = localApiSource();
  try {
    const { self, state, via } = await daemon.read();
    if (state !== "Running" || via !== "direct" || !self) {
      throw new Error(`Tailscale is ${state}, with ${via} networking`);
    }
    const { addresses } = self;
    log.info({ addresses }, "the tailnet tells who calls");
    return { addresses, whois: (remote) => daemon.whois(remote), capability, scopesOf };
  } catch (error) {
    log.warn({ err: error }, "the tailnet cannot tell who calls: everybody needs a token");
    return undefined;
  }
}
