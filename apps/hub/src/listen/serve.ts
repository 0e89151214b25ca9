import { once } from "node:events";
import {
  createServer,
  type IncomingMessage,
  type Server,
  type ServerResponse,
  STATUS_CODES,
} from "node:http";
import type { AddressInfo, Socket } from "node:net";
import type { Duplex } from "node:stream";
import { getRequestListener, type HttpBindings, RequestError } from "@hono/node-server";
import { describeProblem, type ProblemDetails, toAnswer, toProblem } from "@loom/http";
import type { Log } from "@loom/worker";

/** The time in which a request has to arrive, its body included. */
const REQUEST_MS = 30_000;
/** The time that open requests still have after everything else has stopped. */
const LAST_ANSWERS_MS = 5_000;

/** An application that listens on one port of one or more addresses. */
export interface HttpServer {
  /** The URL of the first address. */
  url: string;
  port: number;
  /**
   * Listens on these further addresses in place of those of the last call.
   *
   * @throws ListenError for the first address on which it cannot listen; it still listens on the others.
   */
  follow(addresses: readonly string[]): Promise<void>;
  /** Refuses new requests from now on. Open requests are still answered. */
  refuse(): void;
  /** Resolves when the last connection is closed, which takes a few seconds at most. */
  close(): Promise<void>;
}

/**
 * Serves an application.
 *
 * @param options.port - 0 takes a free one.
 * @throws ListenError when it cannot listen there.
 */
export async function serve(
  fetch: (request: Request, bindings: HttpBindings) => Response | Promise<Response>,
  { bind, port, log }: { bind: string | readonly string[]; port: number; log: Log },
): Promise<HttpServer> {
  const listener = getRequestListener(
    (request, bindings) => fetch(request, bindings as HttpBindings),
    { errorHandler: onStray(log) },
  );
  const [first = "127.0.0.1", ...others] = [bind].flat();
  const open = (address: string, at: number) => openServer(listener, { bind: address, port: at });
  const main = await open(first, port);
  const { port: chosen } = main.server.address() as AddressInfo;
  const servers = [main];
  const closeAll = () => Promise.all([...servers, ...followed.values()].map(closeServer));
  const followed = new Map<string, OpenServer>();
  let isRefusing = false;
  try {
    for (const address of others) servers.push(await open(address, chosen));
  } catch (error) {
    await closeAll();
    throw error;
  }
  return {
    url: `http://${first.includes(":") ? `[${first}]` : first}:${chosen}`,
    port: chosen,
    async follow(addresses) {
      for (const [address, server] of followed) {
        if (addresses.includes(address)) continue;
        followed.delete(address);
        void closeServer(server);
      }
      const failures: unknown[] = [];
      for (const address of addresses) {
        if (isRefusing || followed.has(address)) continue;
        const opened = await open(address, chosen).catch((error: unknown) => {
          failures.push(error);
        });
        if (!opened) continue;
        if (isRefusing) void closeServer(opened);
        else followed.set(address, opened);
      }
      if (failures.length > 0) throw failures[0];
    },
    refuse() {
      isRefusing = true;
      for (const { server } of [...servers, ...followed.values()]) server.close();
    },
    async close() {
      isRefusing = true;
      await closeAll();
    },
  };
}

interface OpenServer {
  server: Server;
  /** Resolves when the server is closed and its last connection has ended. */
  closed: Promise<void>;
}

async function openServer(
  listener: (request: IncomingMessage, response: ServerResponse) => unknown,
  { bind, port }: { bind: string; port: number },
): Promise<OpenServer> {
  // The listener also requires the Host header, and refuses with a problem document.
  const server = createServer(
    { requireHostHeader: false, requestTimeout: REQUEST_MS },
    (request, response) => {
      // A kept-alive connection would keep a closed server running.
      response.once("close", () => server.listening || server.closeIdleConnections());
      void listener(request, response);
    },
  );
  server.on("clientError", onUnreadable);
  try {
    server.listen(port, bind);
    await once(server, "listening");
  } catch (error) {
    throw new ListenError({ bind, port }, { cause: error as NodeJS.ErrnoException });
  }
  return { server, closed: new Promise((resolve) => server.once("close", resolve)) };
}

/** Refuses new requests, and ends connections that last too long. */
async function closeServer({ server, closed }: OpenServer): Promise<void> {
  server.close();
  const timer = setTimeout(() => server.closeAllConnections(), LAST_ANSWERS_MS);
  await closed;
  clearTimeout(timer);
}

/** Answers requests that never reached the application, and thrown values that are not errors. */
const onStray =
  (log: Log) =>
  (error: unknown): Response => {
    const { body, status, headers } = toAnswer(strayProblem(error));
    if (status >= 500) log.error({ err: error }, "request failed");
    return new Response(body, { status, headers });
  };

const strayProblem = (error: unknown): ProblemDetails =>
  error instanceof RequestError
    ? describeProblem("MALFORMED_REQUEST", "address")
    : toProblem(error);

const UNREADABLE = {
  HPE_HEADER_OVERFLOW: "size",
  ERR_HTTP_REQUEST_TIMEOUT: "time",
} as const;

/** Answers bytes that Node cannot parse as a request, and disconnects. */
function onUnreadable(error: NodeJS.ErrnoException, stream: Duplex): void {
  // The server has no TLS, so the stream is a socket: https://nodejs.org/api/http.html#event-clienterror
  const socket = stream as Socket;
  const { status, headers, body } = toAnswer(
    describeProblem(
      "MALFORMED_REQUEST",
      UNREADABLE[error.code as keyof typeof UNREADABLE] ?? "http",
    ),
  );
  if (socket.writable) {
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    socket.write(
      `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines.join("")}connection: close\r\n\r\n${body}`,
    );
  }
  socket.destroySoon();
}

const LISTEN_ADVICE: Readonly<Record<string, string>> = {
  EADDRINUSE: "it is in use; set PORT to another port, or to 0 for any free one",
  EACCES: "this user may not use it; set PORT to one above 1023",
  EADDRNOTAVAIL: "this machine has no such address; set LOOM_BIND to one that it has",
  ENOTFOUND: "there is no such host; set LOOM_BIND to an address of this machine",
};

/** The hub cannot listen on its address or port. */
export class ListenError extends Error {
  override readonly name = "ListenError";
  readonly code = "LISTEN";
  readonly bind: string;
  readonly port: number;
  constructor(
    { bind, port }: { bind: string; port: number },
    { cause }: { cause: NodeJS.ErrnoException },
  ) {
    const advice = LISTEN_ADVICE[cause.code ?? ""] ?? cause.message;
    super(`cannot listen on port ${port} of ${bind}: ${advice}`, { cause });
    this.bind = bind;
    this.port = port;
  }
}
