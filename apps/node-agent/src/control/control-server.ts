import { once } from "node:events";
import { chmodSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { Readable } from "node:stream";
import { type NodeStatusChange, QueueRequestError } from "@loom/queue";
import { lengthOf, limits } from "@loom/workflow";
import { z } from "zod";
import { PreconditionError } from "../errors.ts";
import type { AgentStatus } from "./agent-status.ts";
import { isAnswered } from "./control-client.ts";

// sun_path of unix(7), without its final NUL; macOS has 104.
const MAX_PATH_BYTES = 103;
const STATUS_OF: Readonly<Record<string, NodeStatusChange["status"]>> = {
  "/pause": "paused",
  "/drain": "draining",
  "/resume": "active",
};

/** The requests that an agent answers to its own user. */
export interface Controls {
  status(): AgentStatus;
  setStatus(change: NodeStatusChange): Promise<{ returned: number }>;
  /** Gives the node a new key. */
  rotateKey(): Promise<{ node: string; keyId: string }>;
}

/**
 * Answers on a socket that only the agent's user can open: `/healthz`, `/readyz` and `/status`;
 * `POST /pause`, `/drain`, `/resume` and `/rotate-key`.
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
  // An agent that was killed has left it.
  rmSync(socket, { force: true });
  const server = createServer((request, response) => {
    answer(request, controls).then(
      ([status, body]) => respond(response, status, body),
      (error: unknown) => respond(response, ...refusal(error as Error)),
    );
  });
  // The folder belongs to the user. Other users cannot open the socket at any moment.
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
  { status, setStatus, rotateKey }: Controls,
): Promise<[status: number, body: unknown]> {
  const path = request.url ?? "/";
  if (request.method === "GET") {
    if (path === "/healthz") return [200, { status: "ok" }];
    if (path === "/readyz")
      return status().ready ? [200, { status: "ready" }] : [503, { status: "not ready" }];
    if (path === "/status") return [200, status()];
  }
  if (request.method === "POST" && path === "/rotate-key") return [200, await rotateKey()];
  const wanted = STATUS_OF[path];
  if (request.method === "POST" && wanted) {
    const change = { status: wanted, ...(await readChange(request)) };
    return [200, { status: wanted, ...(await setStatus(change)) }];
  }
  return [404, { code: "NOT_FOUND", message: `there is no ${request.method} ${path}` }];
}

function refusal(error: Error & { code?: string }): [status: number, body: unknown] {
  const { code = "INTERNAL", message } = error;
  if (error instanceof InvalidChangeError) return [400, { code, message }];
  if (error instanceof QueueRequestError) {
    const { reason, hint } = error;
    return [400, { code, message: hint ? `${reason}: ${hint}` : reason }];
  }
  return [500, { code, message }];
}

function respond(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}

const MAX_BODY_BYTES = 16_384;

const EXAMPLE = '{"note": "gaming", "forMs": 3600000}';
const { noteLength, delayMs } = limits;

const NOTE = `note is why, for people: a text of up to ${noteLength} characters`;
const FOR_MS = `forMs is how long, in whole milliseconds: a number from 0 to ${delayMs}, which is a year`;

const change = z.strictObject(
  {
    note: z
      .string({ error: NOTE })
      .refine((note) => lengthOf(note) <= noteLength, { error: NOTE })
      .optional(),
    forMs: z
      .int({ error: FOR_MS })
      .min(0, { error: FOR_MS })
      .max(delayMs, { error: FOR_MS })
      .optional(),
  },
  {
    error: ({ code, keys }) =>
      code === "unrecognized_keys"
        ? `there is no ${(keys as string[]).join(", ")}: only note and forMs`
        : `the body is an object, such as ${EXAMPLE}`,
  },
);

/** A request to change the node's status is invalid. */
class InvalidChangeError extends Error {
  override readonly name = "InvalidChangeError";
  readonly code = "INVALID_ARGUMENT";
}

/**
 * Reads the reason for a change of the node's status, and how long it lasts.
 *
 * @throws InvalidChangeError
 */
async function readChange(body: Readable): Promise<Omit<NodeStatusChange, "status">> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES) {
      throw new InvalidChangeError(`the body is longer than ${MAX_BODY_BYTES} bytes`);
    }
    chunks.push(chunk);
  }
  const read = change.safeParse(parse(Buffer.concat(chunks)));
  if (read.success) return read.data;
  const sentences = read.error.issues.map(({ message }) => message);
  throw new InvalidChangeError([...new Set(sentences)].join("; "));
}

function parse(bytes: Buffer): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw new InvalidChangeError(`the body is not JSON in UTF-8, such as ${EXAMPLE}`);
  }
}
