import { isForwarded, isLoopback, peerOf, problem } from "@loom/http";
import { isTailnetAddress } from "@loom/tailscale-resolver";
import type { Context, MiddlewareHandler } from "hono";
import type { JoinContext } from "./join-context.ts";

/** How a request came that may carry a key: over no network, the tailnet, or TLS. */
type SafeWay = "loopback" | "tailnet" | "tls";

/**
 * The way that a request came, if nobody else can read along: loopback, the tailnet's own address of this machine,
 * or TLS that a proxy of this machine ended. Undefined for any other.
 *
 * A forwarded request comes from loopback whoever sent it, so it counts as TLS or not at all. Only a proxy on this
 * machine is believed: anybody else can write `X-Forwarded-Proto` as well.
 */
async function safeWayOf(
  c: Context,
  { self }: Pick<JoinContext, "self">,
): Promise<SafeWay | undefined> {
  const peer = peerOf(c);
  if (!peer) return undefined;
  const isLocal = isLoopback(peer.remoteAddress);
  if (isForwarded(c)) {
    return isLocal && c.req.header("x-forwarded-proto")?.toLowerCase() === "https"
      ? "tls"
      : undefined;
  }
  if (isLocal) return "loopback";
  // Only addresses of the tailnet's range are worth the question.
  if (!isTailnetAddress(peer.remoteAddress) || !isTailnetAddress(peer.localAddress)) {
    return undefined;
  }
  const own = await self().catch(() => undefined);
  return own?.addresses.includes(peer.localAddress) ? "tailnet" : undefined;
}

/**
 * Refuses requests for what machines use (join, downloads, the database) that came another way, and those of
 * browsers: a page must not make one on behalf of the machine that it is shown on.
 */
export function safeWaysOnly(join: Pick<JoinContext, "self">): MiddlewareHandler {
  return async (c, next) => {
    if (c.req.header("origin") !== undefined || c.req.header("sec-fetch-site") !== undefined) {
      throw problem("BROWSER_REFUSED", c.req.path);
    }
    if ((await safeWayOf(c, join)) === undefined) {
      throw problem("NOT_SERVED_HERE");
    }
    await next();
  };
}

/** The hub's address as a request used it, such as `http://100.64.0.1:3000`. It is safe in a shell script. */
export function originOf(c: Context): string {
  const { host, protocol } = new URL(c.req.url);
  if (!isForwarded(c)) return `${protocol}//${host}`;
  const named = c.req.header("x-forwarded-host") ?? host;
  return `https://${/^[\w.:[\]-]{1,255}$/.test(named) ? named : host}`;
}
