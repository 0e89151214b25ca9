import { setTimeout as sleep } from "node:timers/promises";
import type { Log } from "@loom/worker";
import type { HttpServer } from "./serve.ts";

/** The delay before asking the daemon again after a failure: the first one, and the longest one. */
const FIRST_RETRY_MS = 500;
const MAX_RETRY_MS = 10_000;
/** How often to check whether the machine's address has changed. */
const CHECK_EVERY_MS = 15_000;

/** This machine in its tailnet. */
export interface TailnetSelf {
  fqdn: string;
  addresses: readonly string[];
}

/**
 * Makes a server listen on this machine's tailnet addresses, and follows their changes. At boot the hub may start
 * before Tailscale; until Tailscale runs, this function asks again with growing delays.
 *
 * @param options.self - Rejects while Tailscale does not run.
 * @param options.onOpen - Called with the URL of the machine's full name, first and after each change.
 * @returns When the signal aborts.
 */
export async function followTailnet(
  {
    server,
    self,
    log,
    onOpen,
    firstRetryMs = FIRST_RETRY_MS,
    checkEveryMs = CHECK_EVERY_MS,
  }: {
    server: Pick<HttpServer, "follow" | "port">;
    self: () => Promise<TailnetSelf>;
    log: Log;
    onOpen: (opened: { url: string; name: string }) => void;
    firstRetryMs?: number;
    checkEveryMs?: number;
  },
  { signal }: { signal: AbortSignal },
): Promise<void> {
  let served = "";
  let reported = "";
  let retryMs = firstRetryMs;
  while (!signal.aborted) {
    let waitMs = checkEveryMs;
    try {
      const { fqdn, addresses } = await self();
      await server.follow(addresses);
      reported = "";
      retryMs = firstRetryMs;
      const now = [fqdn, ...addresses].join(" ");
      if (now !== served) {
        served = now;
        const name = fqdn || addresses[0] || "";
        const url = `http://${name.includes(":") ? `[${name}]` : name}:${server.port}`;
        log.info({ url, addresses }, "listening on the tailnet");
        onOpen({ url, name });
      }
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      // Logged once for each reason, because a machine may be out of its tailnet for days.
      if (reason !== reported) {
        const message = served
          ? "the tailnet's address cannot be followed; trying again"
          : "waiting for Tailscale: the hub listens on its tailnet address as soon as there is one";
        log.warn({ reason }, message);
      }
      reported = reason;
      waitMs = retryMs;
      retryMs = Math.min(retryMs * 2, MAX_RETRY_MS);
    }
    await sleep(waitMs, undefined, { signal }).catch(() => {});
  }
}
