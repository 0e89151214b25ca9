import {
  type AgentOptions,
  globalAgent,
  Agent as HttpAgent,
  request as httpRequest,
  type IncomingMessage,
  validateHeaderValue,
} from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { promisify } from "node:util";
import { gunzip as gunzipWithCallback } from "node:zlib";
import { QueueAccessError, QueueUnavailableError } from "../errors.ts";
import { type Queue, queueOver } from "../queue.ts";
import type { Transport } from "./call.ts";
import { answerError, networkError, timeoutError } from "./rest-errors.ts";
import type { UnreadableRow } from "./rows.ts";

export interface HttpQueueOptions {
  /** The address of the Supabase project, or of a PostgREST below `/rest/v1`. It may have a path. */
  url: string;
  /** A key of the project: the secret key or, with a node's key, the publishable one. */
  key: string;
  /** A node's key, which says for which node the calls are. A function is asked with each call: the key may change. */
  nodeKey?: string | (() => string) | undefined;
  /** The unix socket of a PostgREST that has no gateway before it. The address then only names it. */
  socketPath?: string | undefined;
  /** How long to wait for an answer, in milliseconds. Default 10 000. */
  timeoutMs?: number;
  /** Called with each row that an answer leaves out, once in a while. */
  onUnreadable?: ((row: UnreadableRow) => void) | undefined;
}

/**
 * Creates a queue over Node's own HTTP client. It needs neither supabase-js nor anything else, and
 * takes about a third of supabase-js's processor time.
 *
 * It keeps a few connections, which do not keep the process running. It follows no redirect, and
 * sends a call once: a connection that breaks may have delivered it, and only the caller knows
 * whether to repeat it.
 *
 * @throws TypeError when the address is not one of HTTP, or a key cannot be sent in a header.
 */
export function createHttpQueue({ onUnreadable, ...options }: HttpQueueOptions): Queue {
  return queueOver(httpTransport(options), { onUnreadable });
}

/** As many as PostgREST has to Postgres by default: with more, calls would only wait there. */
const MAX_CONNECTIONS = 10;

/**
 * Longer than an idle agent waits between two calls, so that each of them finds the connection open, and shorter than
 * PostgREST (30 s) and gateways keep one.
 */
const IDLE_MS = 20_000;

/** Far beyond what any function answers, so only an answer of something else is cut off. */
const MAX_ANSWER_BYTES = 64 * 1_048_576;

/** Creates the transport of {@link createHttpQueue}. */
export function httpTransport({
  url,
  key,
  nodeKey,
  socketPath,
  timeoutMs = 10_000,
}: Omit<HttpQueueOptions, "onUnreadable">): Transport {
  const { isTls, hostname, port, path } = readUrl(url);
  const keyNow = typeof nodeKey === "function" ? nodeKey : () => nodeKey;
  const headers = {
    apikey: key,
    authorization: `Bearer ${key}`,
    // A gateway takes a name like a browser's for a secret key that leaked into one.
    "user-agent": "loom",
    "content-type": "application/json",
    "content-profile": "public",
    accept: "application/json",
    "accept-encoding": "gzip",
  };
  const withKey = (now: string | undefined) => ({
    ...headers,
    ...(now !== undefined && { "x-loom-node-key": now }),
  });
  for (const [name, value] of Object.entries(withKey(keyNow()))) validateHeaderValue(name, value);
  const agent = new (isTls ? HttpsAgent : HttpAgent)({
    keepAlive: true,
    maxSockets: MAX_CONNECTIONS,
    // For a connection that no call uses. A server that says how long it keeps one is believed.
    timeout: IDLE_MS,
    // As Node's own clients do: through a proxy only with NODE_USE_ENV_PROXY.
    proxyEnv: (globalAgent as { options?: AgentOptions }).options?.proxyEnv,
  });
  const request = isTls ? httpsRequest : httpRequest;
  const functions = `${path}${socketPath === undefined ? "/rest/v1" : ""}/rpc/`;

  /** Closes the connections that no call uses. */
  function dropIdle(): void {
    for (const sockets of Object.values(agent.freeSockets)) {
      for (const socket of sockets ?? []) socket.destroy();
    }
  }

  function post(name: string, body: string, now: string | undefined): Promise<Answer> {
    const answer = Promise.withResolvers<Answer>();
    const sent = request({
      hostname,
      port,
      socketPath,
      path: `${functions}${encodeURIComponent(name)}`,
      method: "POST",
      headers: { ...withKey(now), "content-length": Buffer.byteLength(body) },
      agent,
    });
    const timer = setTimeout(() => {
      // A call that waits for a connection would report its end only when it gets one.
      answer.reject(timeoutError(name));
      sent.destroy();
      // The network may have changed; then the other connections are as dead as this one.
      dropIdle();
    }, timeoutMs);
    const fail = (error: NodeJS.ErrnoException) =>
      answer.reject(error instanceof QueueUnavailableError ? error : toNetworkError(name, error));
    sent.once("error", fail);
    sent.once("response", (response) => {
      // A server may refuse a call before it has read all of it. The connection then breaks for the
      // rest of the call, and the answer counts.
      sent.off("error", fail).on("error", () => {});
      readAnswer(name, response).then(answer.resolve, fail);
    });
    sent.end(body);
    return answer.promise.finally(() => clearTimeout(timer));
  }

  return {
    async call(name, args) {
      const body = JSON.stringify(args);
      const used = keyNow();
      try {
        return toValue(name, await post(name, body, used), url);
      } catch (error) {
        // The key was changed, and the one of before revoked, while the call was on its way. A refused call did nothing.
        const now = keyNow();
        if (!(error instanceof QueueAccessError) || now === used) throw error;
        return toValue(name, await post(name, body, now), url);
      }
    },
  };
}

/** What a server answered. */
interface Answer {
  status: number;
  /** The address that a redirect names. */
  location: string | undefined;
  body: string;
}

// With several addresses, only the code says something.
const toNetworkError = (name: string, error: NodeJS.ErrnoException) =>
  networkError(name, error.message || error.code || "no message", {
    code: error.code,
    cause: error,
  });

function readUrl(text: string) {
  const url = new URL(text);
  if (url.protocol !== "https:" && url.protocol !== "http:") {
    throw new TypeError(`the address of the database's API begins with ${url.protocol}, not http:`);
  }
  if (url.username || url.password) {
    throw new TypeError("the address of the database's API contains a user name: leave it out");
  }
  return {
    isTls: url.protocol === "https:",
    // "[::1]" is how a URL writes the address ::1.
    hostname: url.hostname.replace(/^\[(.*)\]$/, "$1"),
    port: url.port,
    path: url.pathname.replace(/\/+$/, ""),
  };
}

const gunzip = promisify(gunzipWithCallback);

/** Reads an answer to its end. */
async function readAnswer(name: string, response: IncomingMessage): Promise<Answer> {
  const { statusCode: status = 0, headers } = response;
  const tooLarge = () =>
    new QueueUnavailableError(name, "server", `an answer of more than ${MAX_ANSWER_BYTES} bytes`);
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length;
    // Leaving the loop closes the connection.
    if (size > MAX_ANSWER_BYTES) throw tooLarge();
    chunks.push(chunk);
  }
  let body = Buffer.concat(chunks);
  if (/gzip/i.test(headers["content-encoding"] ?? "")) {
    body = await gunzip(body, { maxOutputLength: MAX_ANSWER_BYTES }).catch((cause: Error) => {
      throw new QueueUnavailableError(name, "server", `unreadable gzip: ${cause.message}`, {
        cause,
      });
    });
  }
  return { status, location: headers.location, body: body.toString() };
}

/** Returns the value that a function answered. */
function toValue(name: string, { status, location, body }: Answer, url: string): unknown {
  let value: unknown;
  let isJson = true;
  try {
    value = body === "" ? null : JSON.parse(body);
  } catch {
    isJson = false;
  }
  if (status < 300 && isJson) return value;
  if (status < 400 && location !== undefined) throw redirectError(name, { status, location, url });
  throw answerError(name, status, isJson ? value : { message: body });
}

/**
 * Creates the error for a redirect. It is not followed, because the keys would go along to an
 * address that nobody configured.
 */
function redirectError(
  name: string,
  { status, location, url }: { status: number; location: string; url: string },
): Error {
  const to = URL.canParse(location, url) ? new URL(location, url).origin : "no address";
  return new QueueUnavailableError(name, "server", `HTTP ${status}: a redirect to ${to}`, {
    advice:
      "Loom's keys follow no redirect: if that is your project's address, set SUPABASE_URL to it; if not, the answer is from a proxy or a network that requires a login",
  });
}
