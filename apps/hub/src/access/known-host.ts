import { isIP } from "node:net";
import type { MiddlewareHandler } from "hono";
import { ProblemError } from "../problem.ts";

/** `localhost` of `localhost:3000`, `::1` of `[::1]:3000`. */
export const hostNameOf = (url: string): string =>
  new URL(url).hostname.replace(/^\[(.*)\]$/, "$1").toLowerCase();

/**
 * Refuses requests for a host name that is not the hub's.
 *
 * A page of somebody's can point its own name at this machine (DNS rebinding) and is then, to a
 * browser, of the same origin as the hub. It cannot do so with an address, nor with a name that is
 * not its own.
 */
export function knownHost(names: readonly string[]): MiddlewareHandler {
  const known = new Set(["localhost", ...names.map((name) => name.toLowerCase())]);
  return async (c, next) => {
    const host = hostNameOf(c.req.url);
    if (!known.has(host) && isIP(host) === 0) {
      throw new ProblemError({
        title: "Unknown host",
        status: 421,
        code: "UNKNOWN_HOST",
        detail: `this hub is not known as ${host.slice(0, 100)}`,
        hint: "ask for it by an address or a name that it knows, or add the name to LOOM_HOSTS",
      });
    }
    await next();
  };
}
