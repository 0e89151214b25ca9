import { isIP } from "node:net";
import type { HttpBindings } from "@hono/node-server";
import { unmapIpv4 } from "@loom/tailscale-resolver";
import type { Context, MiddlewareHandler } from "hono";
import { problem } from "../problem.ts";

/** The two ends of a request's connection. */
export interface Peer {
  remoteAddress: string;
  remotePort: number;
  localAddress: string;
  /** The same object for every request of one connection. */
  connection: object;
}

/** The connection of a request. It ignores `X-Forwarded-For`, which a caller may write freely. */
export function peerOf(c: Context): Peer | undefined {
  const socket = bindingsOf(c).incoming?.socket;
  if (!socket?.remoteAddress || socket.remotePort === undefined) return undefined;
  return {
    remoteAddress: unmapIpv4(socket.remoteAddress),
    remotePort: socket.remotePort,
    localAddress: unmapIpv4(socket.localAddress ?? ""),
    connection: socket,
  };
}

/** The request and response of Node's server; empty where the application is called without a port. */
export const bindingsOf = (c: Pick<Context, "env">): Partial<HttpBindings> =>
  (c.env as Partial<HttpBindings> | undefined) ?? {};

/**
 * Refuses requests for a host name that is not the hub's.
 *
 * A foreign page can point its own name at this machine (DNS rebinding); to a browser it then has the same
 * origin as the hub. It cannot do so with an address, nor with a name that it does not own.
 */
export function knownHost(names: readonly string[]): MiddlewareHandler {
  const isKnown = (host: string) =>
    host === "localhost" || names.some((name) => name.toLowerCase() === host);
  return async (c, next) => {
    const host = hostNameOf(c.req.url);
    if (!isKnown(host) && isIP(host) === 0) throw problem("UNKNOWN_HOST", host);
    await next();
  };
}

/** The host of a URL: `localhost` for `http://localhost:3000`, `::1` for `http://[::1]:3000`. */
export const hostNameOf = (url: string): string =>
  new URL(url).hostname.replace(/^\[(.*)\]$/, "$1").toLowerCase();

/**
 * Whether a request does not come from another site's page. A client that is no browser sends neither
 * header. Another port of the same machine is "same-site", but still another origin.
 */
export function isFromHere(c: Context): boolean {
  const origin = c.req.header("origin");
  const site = c.req.header("sec-fetch-site");
  const isOwnOrigin = origin === undefined || hostOf(origin) === new URL(c.req.url).host;
  return isOwnOrigin && (site === undefined || site === "same-origin" || site === "none");
}

/**
 * Whether the browser says that a page of this hub made the request: for requests that change something.
 * A request without either header is refused, because every browser sends one.
 */
export const isFromOwnPage = (c: Context): boolean =>
  isFromHere(c) &&
  (c.req.header("sec-fetch-site") === "same-origin" || c.req.header("origin") !== undefined);

function hostOf(origin: string): string | undefined {
  return URL.canParse(origin) ? new URL(origin).host : undefined;
}

const FORWARDED = [
  "forwarded",
  "x-forwarded-for",
  "x-forwarded-host",
  "x-forwarded-proto",
  "x-real-ip",
];

/** Whether a proxy passed the request on: it comes from the proxy's address, whoever sent it. */
export const isForwarded = (c: Context): boolean =>
  FORWARDED.some((name) => c.req.header(name) !== undefined);

const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|::1)$/i;

/** Whether a host name or address always means the machine that uses it. */
export const isLoopback = (host: string): boolean => LOOPBACK.test(host);
