import { once } from "node:events";
import { chmodSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { json } from "node:stream/consumers";
import type { NodeStatusChange } from "@loom/queue";
import { z } from "zod";
import type { AgentStatus } from "../agent-status.ts";
import { PreconditionError } from "../errors.ts";
import { isAnswered } from "./control-client.ts";

// sun_path of unix(7), without its final NUL; macOS has 104.
const MAX_PATH_BYTES = 103;
const MAX_BODY_BYTES = 16_384;

const change = z.strictObject({
  note: z.string().optional(),
  forMs: z.int().optional(),
});

const STATUS_OF: Readonly<Record<string, NodeStatusChange["status"]>> = {
  "/pause": "paused",
  "/drain": "draining",
  "/resume": "active",
};

/** What an agent lets its own user ask and do. */
export interface Controls {
  status(): AgentStatus;
  setStatus(change: NodeStatusChange): Promise<{ returned: number }>;
}

/**
 * Answers on a socket that only the agent's user can open: `/healthz`, `/readyz` and `/status`;
 * `POST /pause`, `/drain` and `/resume`.
 *
 * @throws PreconditionError when an agent of this node answers there already, or the path is
 *   too long for a socket.
 */
export async function openControl(
  socket: string,
  controls: Controls,
): Promise<{ close(): Promise<void> }> {
  if (Buffer.byteLength(socket) > MAX_PATH_BYTES) {
    throw new PreconditionError(`${socket} is too long for a socket: set LOOM_STATE_DIR`);
  }
  if (await isAnswered(socket)) {
    throw new PreconditionError(
      `an agent answers at ${socket} already: stop it, or give one of the two another LOOM_NODE_NAME or LOOM_STATE_DIR`,
    );
  }
  // Left by an agent that was killed.
  rmSync(socket, { force: true });
  const server = createServer((request, response) => {
    answer(request, controls).then(
      ([status, body]) => respond(response, status, body),
      (error: unknown) => {
        const { code, message } = error as Error & { code?: string };
        const isWrong = error instanceof SyntaxError || error instanceof z.ZodError;
        respond(response, isWrong ? 400 : 500, {
          code: isWrong ? "INVALID_ARGUMENT" : (code ?? "INTERNAL"),
          message,
        });
      },
    );
  });
  // The folder is the user's own; the socket is closed to others before anybody may connect.
  const umask = process.umask(0o177);
  server.listen(socket);
  process.umask(umask);
  await once(server, "listening");
  chmodSync(socket, 0o600);
  return {
    async close() {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

async function answer(
  request: IncomingMessage,
  { status, setStatus }: Controls,
): Promise<[status: number, body: unknown]> {
  const path = request.url ?? "/";
  if (request.method === "GET") {
    if (path === "/healthz") return [200, { status: "ok" }];
    if (path === "/readyz")
      return status().ready ? [200, { status: "ready" }] : [503, { status: "not ready" }];
    if (path === "/status") return [200, status()];
  }
  const wanted = STATUS_OF[path];
  if (request.method === "POST" && wanted) {
    if (!(Number(request.headers["content-length"] ?? 0) <= MAX_BODY_BYTES)) {
      return [413, { code: "INVALID_ARGUMENT", message: "that is too long" }];
    }
    const { note, forMs } = change.parse(await json(request));
    return [200, { status: wanted, ...(await setStatus({ status: wanted, note, forMs })) }];
  }
  return [404, { code: "NOT_FOUND", message: `there is no ${request.method} ${path}` }];
}

function respond(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}
