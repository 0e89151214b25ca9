import { type IncomingMessage, request } from "node:http";
import { SourceError, type SourceErrorCode } from "../errors.ts";
import { readText } from "../read-text.ts";
import type { Endpoint } from "./endpoint.ts";

/** The name of this source in errors and in `Status.source`. */
export const LOCAL_API = "local-api";

/** A request, and how to reach the daemon. */
export interface Exchange {
  /**
   * Finds the addresses where the daemon may listen. It is called for each request, because ports
   * and passwords change with a restart.
   */
  places: (signal: AbortSignal) => Iterable<Endpoint> | AsyncIterable<Endpoint>;
  method: "GET" | "POST";
  /** The path below `/localapi/v0/`, with its query. */
  path: string;
  /** The timeout of the whole exchange. The daemon answers no request until its backend is up. */
  timeoutMs: number;
  signal: AbortSignal | undefined;
}

export interface Answer {
  status: number;
  body: string;
}

/**
 * Sends a request to tailscaled's LocalAPI over a new connection.
 *
 * @throws SourceError when no daemon answers, none answers in time, or this user may not ask (401,
 * 403).
 */
export async function exchange(what: Exchange): Promise<Answer> {
  const { timeoutMs, signal } = what;
  signal?.throwIfAborted();
  const timeout = AbortSignal.timeout(timeoutMs);
  const stop = signal ? AbortSignal.any([signal, timeout]) : timeout;
  try {
    const answer = await askFirst(what, stop);
    if (answer.status === 401 || answer.status === 403) throw refusal(answer);
    return answer;
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof SourceError) throw error;
    throw timeout.aborted ? hung(timeoutMs, error) : toSourceError(error);
  }
}

/**
 * Creates the error for a failure status: the daemon's own fault, or a request that it does not
 * understand.
 */
export const unanswered = ({ status, body }: Answer): SourceError =>
  new SourceError(`tailscaled could not answer; see its log: HTTP ${status}: ${messageOf(body)}`, {
    code: "BAD_RESPONSE",
    source: LOCAL_API,
  });

/** Asks at the first address where a daemon listens. */
async function askFirst(what: Exchange, signal: AbortSignal): Promise<Answer> {
  let nobody: unknown;
  for await (const endpoint of what.places(signal)) {
    try {
      return await ask(endpoint, what, signal);
    } catch (error) {
      if (!isAbsence(error)) throw error;
      nobody = error;
    }
  }
  throw nobody;
}

function ask(endpoint: Endpoint, what: Exchange, signal: AbortSignal): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const receive = (response: IncomingMessage) =>
      void readText(response, LOCAL_API).then(
        (body) => resolve({ status: response.statusCode ?? 0, body }),
        reject,
      );
    // The address and not "localhost", which may be ::1: tailscale issue 7851.
    const place =
      "socketPath" in endpoint
        ? endpoint
        : { host: "127.0.0.1", port: endpoint.port, auth: `:${endpoint.token}` };
    request(
      {
        ...place,
        method: what.method,
        path: `/localapi/v0/${what.path}`,
        // tailscaled refuses any other Host, and Node would send "localhost": ipn/localapi
        // validHost.
        headers: { Host: "local-tailscaled.sock" },
        agent: false,
        signal,
      },
      receive,
    )
      .on("error", reject)
      .end();
  });
}

const codeOf = (error: unknown) => (error as NodeJS.ErrnoException).code;

const isAbsence = (error: unknown) => ["ENOENT", "ECONNREFUSED"].includes(codeOf(error) ?? "");

/** Returns the message in an error's body. Go's own client accepts the key in either case. */
function messageOf(body: string): string {
  let said = body;
  try {
    const answer = JSON.parse(body) as Record<string, unknown>;
    said = String(answer.error ?? answer.Error ?? body);
  } catch {
    // Most error bodies are plain text.
  }
  return said.trim().slice(0, 500);
}

function refusal({ status, body }: Answer): SourceError {
  const said = `HTTP ${status}: ${messageOf(body)}`;
  return body.startsWith("invalid localapi request")
    ? new SourceError(
        `tailscaled treats this request as one from a browser; ask it directly, not through a proxy: ${said}`,
        { code: "BAD_RESPONSE", source: LOCAL_API },
      )
    : new SourceError(`tailscaled refuses this user; ask as another user: ${said}`, {
        code: "NO_PERMISSION",
        source: LOCAL_API,
      });
}

const hung = (timeoutMs: number, cause: unknown) =>
  new SourceError(
    `tailscaled did not answer within ${timeoutMs} ms: it is starting or stuck; see its log, or restart it`,
    { code: "DAEMON_HUNG", source: LOCAL_API, cause },
  );

function toSourceError(error: unknown): SourceError {
  const fail = (code: SourceErrorCode, message: string) =>
    new SourceError(message, { code, source: LOCAL_API, cause: error });
  // The system's message names the operation and the socket or file: "connect ENOENT /var/run/…".
  const said = error instanceof Error ? error.message : String(error);
  switch (codeOf(error)) {
    case "ENOENT":
    case "ECONNREFUSED":
      return fail(
        "DAEMON_ABSENT",
        `tailscaled does not run, or listens elsewhere (${said}); start it, or pass its socketPath`,
      );
    case "EACCES":
    case "EPERM":
      return fail(
        "NO_PERMISSION",
        `this user may not ask tailscaled (${said}): the mode of that file or of a directory above it forbids it; open it to this user`,
      );
    default:
      return fail(
        "BAD_RESPONSE",
        `the connection to tailscaled was lost (${said}), as happens when it restarts; try again`,
      );
  }
}
