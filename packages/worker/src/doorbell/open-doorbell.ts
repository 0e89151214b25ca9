import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import {
  BELL_PATH,
  type BellAddress,
  type BellRoute,
  CLOCK_HEADER,
  RING_BACK_HEADER,
} from "./bell-address.ts";
import { isNeighbour, unmapped } from "./neighbour.ts";

/** Rings that come faster are one: whoever rings without end costs 50 claims a second. */
const SPACING_MS = 20;
/** A ring is one packet: whoever takes longer to say it is not ringing. */
const PATIENCE_MS = 2_000;
const MAX_BODY_BYTES = 1_024;
const MAX_CONNECTIONS = 64;

export interface DoorbellOptions {
  /** Where to listen: an address of the tailnet, or a loopback one. */
  address: string;
  /** Default 0: any free port. */
  port?: number;
  /**
   * Called for rings, at most every 20 ms, and at once when the last one is longer ago.
   *
   * @param ringBack - Where the one who rang last can be rung, from where it was heard; undefined when any
   *   of those whom the call stands for has no bell.
   */
  onRing: (ringBack: BellRoute | undefined) => void;
}

/** A doorbell that listens, and where others find it. */
export interface Doorbell extends BellAddress {
  /** Resolves when nothing listens any more. */
  close(): Promise<void>;
}

/**
 * Listens for rings: `POST /bell` is answered with 204 and the machine's clock, always, to anybody near.
 *
 * It needs no secret because it gives away nothing else and does nothing but have its owner look for
 * work a little earlier. Connections from elsewhere than the tailnet and this machine are closed
 * before a byte of theirs is read; bodies are not read at all.
 *
 * An address of the tailnet that the kernel does not have belongs to a tailscaled with userspace
 * networking, which delivers to loopback: then that is where it listens.
 *
 * @throws The system's error when it cannot listen there, and a RangeError for an address that is
 *   neither of the tailnet nor loopback.
 */
export async function openDoorbell({
  address,
  port = 0,
  onRing,
}: DoorbellOptions): Promise<Doorbell> {
  if (!isNeighbour(address)) {
    throw new RangeError(
      `a doorbell listens on an address of the tailnet or a loopback one, not on ${address}`,
    );
  }
  const ring = spaced(onRing);
  const server = createServer(
    { maxHeaderSize: 4_096, requestTimeout: PATIENCE_MS, headersTimeout: PATIENCE_MS },
    (request, response) => answer(request, response, ring.call),
  );
  server.maxConnections = MAX_CONNECTIONS;
  server.on("connection", (socket: Socket) => {
    if (!isNeighbour(socket.remoteAddress ?? "")) socket.destroy();
  });
  await listen(server, port, address).catch(async (error: NodeJS.ErrnoException) => {
    if (error.code !== "EADDRNOTAVAIL") throw error;
    await listen(server, port, "127.0.0.1");
  });
  return {
    address,
    port: (server.address() as AddressInfo).port,
    async close() {
      ring.stop();
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

async function listen(server: Server, port: number, address: string): Promise<void> {
  server.listen(port, address);
  await once(server, "listening");
}

function answer(
  request: IncomingMessage,
  response: ServerResponse,
  ring: (ringBack: BellRoute | undefined) => void,
): void {
  const respond = (status: number, headers: Readonly<Record<string, number>> = {}) =>
    response.writeHead(status, { connection: "close", ...headers }).end();
  const { pathname } = new URL(request.url ?? "/", "http://bell");
  if (pathname !== BELL_PATH) return void respond(404);
  if (request.method !== "POST") return void respond(405);
  const length = Number(request.headers["content-length"] ?? 0);
  if (!(length <= MAX_BODY_BYTES) || "transfer-encoding" in request.headers) {
    respond(413);
    return void request.socket.destroySoon();
  }
  request.resume();
  respond(204, { [CLOCK_HEADER]: Date.now() });
  ring(ringBackOf(request));
}

function ringBackOf(request: IncomingMessage): BellRoute | undefined {
  const { remoteAddress, localAddress } = request.socket;
  const port = Number(request.headers[RING_BACK_HEADER]);
  const isPort = Number.isInteger(port) && port > 0 && port < 65_536;
  if (!remoteAddress || !localAddress || !isPort) return undefined;
  return { address: unmapped(remoteAddress), port, from: unmapped(localAddress) };
}

/**
 * Calls at once, or as soon as the last call is long enough ago; then once, with the latest argument, or
 * with none if any of them was none.
 */
function spaced<Argument>(call: (argument: Argument | undefined) => void) {
  let calledAt = Number.NEGATIVE_INFINITY;
  let timer: NodeJS.Timeout | undefined;
  let latest: Argument | undefined;
  const fire = () => {
    timer = undefined;
    calledAt = performance.now();
    call(latest);
  };
  return {
    call(argument: Argument | undefined) {
      latest = timer === undefined ? argument : latest && argument;
      const waitMs = calledAt + SPACING_MS - performance.now();
      if (waitMs <= 0) fire();
      else timer ??= setTimeout(fire, waitMs);
    },
    stop: () => clearTimeout(timer),
  };
}
