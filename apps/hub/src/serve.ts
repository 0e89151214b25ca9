import { once } from "node:events";
import { createServer, STATUS_CODES } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import type { Duplex } from "node:stream";
import { getRequestListener, type HttpBindings, RequestError } from "@hono/node-server";
import type { Log } from "@loom/worker";
import { ListenError } from "./errors.ts";
import { type Problem, toAnswer } from "./problem.ts";
import { toProblem } from "./to-problem.ts";

/** How long a request may take to arrive, its body included. */
const REQUEST_MS = 30_000;
/** How long requests may still take when everything else has stopped. */
const LAST_ANSWERS_MS = 5_000;

/** An application on a port. */
export interface HttpServer {
  url: string;
  /** Takes no new requests from now on; those under way are answered. */
  refuse(): void;
  /** Resolves when the last connection is closed, which takes a few seconds at most. */
  close(): Promise<void>;
}

/**
 * Serves an application.
 *
 * @param options.port - 0 takes a free one.
 * @throws ListenError when the address or the port cannot be had.
 */
export async function serve(
  fetch: (request: Request, bindings: HttpBindings) => Response | Promise<Response>,
  { bind, port, log }: { bind: string; port: number; log: Log },
): Promise<HttpServer> {
  const listener = getRequestListener(
    (request, bindings) => fetch(request, bindings as HttpBindings),
    { errorHandler: onStray(log) },
  );
  // The listener requires the host too, and says so in a problem document.
  const server = createServer(
    { requireHostHeader: false, requestTimeout: REQUEST_MS },
    (request, response) => {
      // A client that keeps its connection would keep a server that has been closed.
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
  const closed = new Promise<void>((resolve) => server.once("close", resolve));
  const host = bind.includes(":") ? `[${bind}]` : bind;
  return {
    url: `http://${host}:${(server.address() as AddressInfo).port}`,
    refuse: () => void server.close(),
    async close() {
      server.close();
      const timer = setTimeout(() => server.closeAllConnections(), LAST_ANSWERS_MS);
      await closed;
      clearTimeout(timer);
    },
  };
}

/** Answers what never reached the application, or left it as something that is no error. */
const onStray =
  (log: Log) =>
  (error: unknown): Response => {
    const { body, status, headers } = toAnswer(strayProblem(error));
    if (status >= 500) log.error({ err: error }, "request failed");
    return new Response(body, { status, headers });
  };

const strayProblem = (error: unknown): Problem =>
  error instanceof RequestError ? malformed(400, error.message) : toProblem(error);

const malformed = (status: number, detail: string): Problem => ({
  title: "Malformed request",
  status,
  code: "MALFORMED_REQUEST",
  detail,
});

const UNREADABLE: Readonly<Record<string, Problem>> = {
  HPE_HEADER_OVERFLOW: malformed(431, "a request's path and headers hold at most 16 KiB"),
  ERR_HTTP_REQUEST_TIMEOUT: malformed(408, "the request did not arrive in time"),
};

/** Answers what Node cannot read as a request, and hangs up. */
function onUnreadable(error: NodeJS.ErrnoException, stream: Duplex): void {
  // Of a server without TLS: https://nodejs.org/api/http.html#event-clienterror
  const socket = stream as Socket;
  const { status, headers, body } = toAnswer(
    UNREADABLE[error.code ?? ""] ?? malformed(400, "this is not HTTP"),
  );
  if (socket.writable) {
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    socket.write(
      `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines.join("")}connection: close\r\n\r\n${body}`,
    );
  }
  socket.destroySoon();
}
