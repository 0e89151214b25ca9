import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { type AddressInfo, isIP, type Socket } from "node:net";
import { unmapIpv4 } from "@loom/tailscale-resolver";
import type { Log } from "../log.ts";
import { createWaker } from "../wait.ts";
import {
  CLOCK_HEADER,
  isNeighbour,
  REPLY_PORT_HEADER,
  WAKE_PATH,
  type WakeAddress,
  type WakeRoute,
} from "./client.ts";

/** How often to check whether the machine's address has changed or exists by now. */
const CHECK_EVERY_MS = 60_000;
const LOOPBACK = "127.0.0.1";
const ANYWHERE = { address: undefined, port: 0 };

export interface KeptWakeServer extends Pick<WakeServerOptions, "onWake"> {
  /** Default: any free port of the machine's tailnet address. */
  setting?: WakeSetting | undefined;
  /**
   * Returns the machine's tailnet address. If it returns undefined or fails, only this machine can
   * wake. The address may change: Tailscale may start later or assign a new one.
   */
  ownAddress: () => Promise<string | undefined>;
  log: Log;
  /** Called with the address when the server opens, and again when the address has changed. */
  onOpen: (waker: WakeAddress) => void;
  /** How often to check for another address, in milliseconds. Default 60 000. */
  checkEveryMs?: number;
}

/**
 * Keeps a wake server open at the machine's address until the signal aborts. A node works without
 * one, so a failure to open it is logged and retried.
 *
 * @returns Resolves after the first attempt to open it; `done` resolves when it is closed.
 */
export async function keepWakeServer(
  {
    setting = ANYWHERE,
    ownAddress,
    log,
    onWake,
    onOpen,
    checkEveryMs = CHECK_EVERY_MS,
  }: KeptWakeServer,
  { signal }: { signal: AbortSignal },
): Promise<{ done: Promise<void> }> {
  if (setting === "off") return { done: Promise.resolve() };
  const { port } = setting;
  let waker: WakeServer | undefined;

  const follow = async (): Promise<void> => {
    try {
      const wanted = setting.address ?? (await ownAddress().catch(() => undefined)) ?? LOOPBACK;
      if (signal.aborted || waker?.address === wanted) return;
      await waker?.close();
      waker = undefined;
      waker = await openWakeServer({ address: wanted, port, onWake });
      log.info({ address: wanted, port: waker.port }, "wake server is open");
      onOpen(waker);
    } catch (error) {
      log.warn({ err: error }, "the wake server could not be opened: polling only");
    }
  };

  const followOn = async (): Promise<void> => {
    const pause = createWaker();
    while (!signal.aborted) {
      await pause.wait(checkEveryMs, signal);
      if (!signal.aborted) await follow();
    }
    await waker?.close();
  };

  await follow();
  return { done: followOn() };
}

/**
 * Wake-ups that come faster are combined, so a caller in a loop causes at most 50 claims a second.
 */
const SPACING_MS = 20;
/** A wake-up is one packet, so a connection that takes longer is not one. */
const PATIENCE_MS = 2_000;
const MAX_BODY_BYTES = 1_024;
const MAX_CONNECTIONS = 64;

export interface WakeServerOptions {
  /** The address to listen at: a tailnet address, or a loopback address. */
  address: string;
  /** Default 0: any free port. */
  port?: number;
  /**
   * Called for wake-ups, at most every 20 ms, and at once when the last call is longer ago.
   *
   * @param replyPort - Where the last caller can be woken, as seen from this server. Undefined when
   * any of the combined wake-ups came from a caller without a wake server.
   */
  onWake: (replyPort: WakeRoute | undefined) => void;
}

/** A wake server that listens, and its address. */
export interface WakeServer extends WakeAddress {
  /** Resolves when the server no longer listens. */
  close(): Promise<void>;
}

/**
 * Listens for wake-ups. It answers each `POST /wake` from a tailnet or loopback address with 204
 * and the machine's clock.
 *
 * It needs no secret, because it reveals nothing else and only makes its owner claim work
 * earlier. It closes connections from other addresses before it reads a byte, and reads no bodies.
 *
 * A tailnet address that the kernel does not have belongs to a tailscaled with userspace
 * networking, which delivers to loopback. The server then listens at loopback.
 *
 * @throws The system's error when it cannot listen there.
 * @throws RangeError for an address that is neither in the tailnet nor loopback.
 */
export async function openWakeServer({
  address,
  port = 0,
  onWake,
}: WakeServerOptions): Promise<WakeServer> {
  if (!isNeighbour(address)) {
    throw new RangeError(
      `a wake server listens on a tailnet or loopback address, not on ${address}`,
    );
  }
  const wake = spaced(onWake);
  const server = createServer(
    { maxHeaderSize: 4_096, requestTimeout: PATIENCE_MS, headersTimeout: PATIENCE_MS },
    (request, response) => answer(request, response, wake.call),
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
      wake.stop();
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
  wake: (replyPort: WakeRoute | undefined) => void,
): void {
  const respond = (status: number, headers: Readonly<Record<string, number>> = {}) =>
    response.writeHead(status, { connection: "close", ...headers }).end();
  const { pathname } = new URL(request.url ?? "/", "http://wake");
  if (pathname !== WAKE_PATH) return void respond(404);
  if (request.method !== "POST") return void respond(405);
  const length = Number(request.headers["content-length"] ?? 0);
  if (!(length <= MAX_BODY_BYTES) || "transfer-encoding" in request.headers) {
    respond(413);
    return void request.socket.destroySoon();
  }
  request.resume();
  respond(204, { [CLOCK_HEADER]: Date.now() });
  wake(replyPortOf(request));
}

function replyPortOf(request: IncomingMessage): WakeRoute | undefined {
  const { remoteAddress, localAddress } = request.socket;
  const port = Number(request.headers[REPLY_PORT_HEADER]);
  const isPort = Number.isInteger(port) && port > 0 && port < 65_536;
  if (!remoteAddress || !localAddress || !isPort) return undefined;
  return { address: unmapIpv4(remoteAddress), port, from: unmapIpv4(localAddress) };
}

/**
 * Returns a function that calls at once, or as soon as the last call is long enough ago. Delayed
 * calls become one, with the latest argument, or with none if any of them had none.
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

/** Where a wake server listens; `off` for no server. */
export type WakeSetting =
  | "off"
  | {
      /** Undefined: the machine's tailnet address. */
      address: string | undefined;
      /** 0: any free port. */
      port: number;
    };

/**
 * Reads where a wake server listens: `off`, an address, a port as `:7421`, or both as
 * `100.64.0.7:7421` or `[fd7a:115c:a1e0::7]:7421`.
 *
 * @returns undefined when the text is invalid or the address is neither in the tailnet nor
 * loopback.
 */
export function parseWakeSetting(text: string): WakeSetting | undefined {
  if (text === "off") return "off";
  if (isIP(text)) return isNeighbour(text) ? { address: text, port: 0 } : undefined;
  const [, bracketed, plain, digits] = /^(?:\[(.+)\]|([^:]*)):(\d{1,5})$/.exec(text) ?? [];
  const address = bracketed ?? (plain || undefined);
  const port = Number(digits);
  if (!(port <= 65_535) || (address !== undefined && !(isIP(address) && isNeighbour(address)))) {
    return undefined;
  }
  return { address, port };
}
