import type { HttpBindings } from "@hono/node-server";
import type { Context } from "hono";

/** The two ends of a request's connection. */
export interface Peer {
  remoteAddress: string;
  remotePort: number;
  localAddress: string;
  /** The same object for every request of one connection. */
  connection: object;
}

/** What node-server knows of a request; undefined where the application is called without a port. */
export const bindingsOf = (c: Context): Partial<HttpBindings> =>
  (c.env as Partial<HttpBindings> | undefined) ?? {};

/** Never from `X-Forwarded-For`: who sends that may write into it what he likes. */
export function peerOf(c: Context): Peer | undefined {
  const socket = bindingsOf(c).incoming?.socket;
  if (!socket?.remoteAddress || socket.remotePort === undefined) return undefined;
  return {
    remoteAddress: toPlain(socket.remoteAddress),
    remotePort: socket.remotePort,
    localAddress: toPlain(socket.localAddress ?? ""),
    connection: socket,
  };
}

/** An IPv4 address of a socket that takes both kinds comes as `::ffff:100.64.0.7`. */
const toPlain = (address: string): string => address.replace(/^::ffff:(?=\d+\.)/i, "");
