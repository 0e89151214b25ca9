import { type IncomingMessage, request } from "node:http";
import { text } from "node:stream/consumers";
import { SourceError, type SourceErrorCode } from "../errors.ts";
import { milliseconds } from "../milliseconds.ts";
import { parseStatus } from "../parse-status.ts";
import type { Source } from "../source.ts";

// tailscale paths/paths.go DefaultTailscaledSocket; on macOS that of the open-source daemon.
const defaultSocketPath = () =>
  process.platform === "darwin"
    ? "/var/run/tailscaled.socket"
    : "/var/run/tailscale/tailscaled.sock";

export interface LocalApiSourceOptions {
  /** tailscaled's unix socket; default by platform. In containers often `/tmp/tailscaled.sock`. */
  socketPath?: string | undefined;
  /** For the whole exchange; default 1 500. The daemon answers nobody until its backend is up. */
  timeoutMs?: number | undefined;
}

/** Creates a source that asks tailscaled over its LocalAPI socket. Read access needs no root. */
export function localApiSource({
  socketPath = defaultSocketPath(),
  timeoutMs = 1_500,
}: LocalApiSourceOptions = {}): Source {
  const name = "local-api";
  milliseconds("timeoutMs", timeoutMs, 1);
  return {
    name,
    async read({ signal } = {}) {
      signal?.throwIfAborted();
      const timeout = AbortSignal.timeout(timeoutMs);
      try {
        const answer = await get(
          { socketPath, path: "/localapi/v0/status" },
          signal ? AbortSignal.any([signal, timeout]) : timeout,
        );
        if (answer.statusCode === 200) return parseStatus(answer.body, name);
        throw refusal(name, answer);
      } catch (error) {
        signal?.throwIfAborted();
        if (error instanceof SourceError) throw error;
        throw toSourceError(error, { name, socketPath, timeoutMs, timedOut: timeout.aborted });
      }
    },
  };
}

interface Answer {
  statusCode: number | undefined;
  body: string;
}

function get(
  { socketPath, path }: { socketPath: string; path: string },
  signal: AbortSignal,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const receive = (response: IncomingMessage) =>
      void text(response).then(
        (body) => resolve({ statusCode: response.statusCode, body }),
        reject,
      );
    // tailscaled refuses any other Host, and Node would send "localhost": ipn/localapi validHost.
    const headers = { Host: "local-tailscaled.sock" };
    request({ socketPath, path, headers, agent: false, signal }, receive).on("error", reject).end();
  });
}

function refusal(source: string, { statusCode, body }: Answer): SourceError {
  const said = `HTTP ${statusCode}: ${body.trim().slice(0, 500)}`;
  return statusCode === 401 || statusCode === 403
    ? new SourceError(`tailscaled refuses to tell this user, ask as another one: ${said}`, {
        code: "NO_PERMISSION",
        source,
      })
    : new SourceError(`tailscaled could not answer; see its log: ${said}`, {
        code: "BAD_RESPONSE",
        source,
      });
}

function toSourceError(
  error: unknown,
  context: { name: string; socketPath: string; timeoutMs: number; timedOut: boolean },
): SourceError {
  const { name, socketPath, timeoutMs, timedOut } = context;
  const fail = (code: SourceErrorCode, message: string) =>
    new SourceError(message, { code, source: name, cause: error });
  const start = "start it, pass its socketPath, or use cliSource()";
  if (timedOut) {
    return fail(
      "DAEMON_HUNG",
      `tailscaled did not answer on ${socketPath} within ${timeoutMs} ms: it is starting or stuck; see its log, or restart it`,
    );
  }
  switch ((error as NodeJS.ErrnoException).code) {
    case "ENOENT":
      return fail("DAEMON_ABSENT", `tailscaled does not run: no socket ${socketPath}; ${start}`);
    case "ECONNREFUSED":
      return fail(
        "DAEMON_ABSENT",
        `tailscaled does not run: nobody listens on its socket ${socketPath}; ${start}`,
      );
    case "EACCES":
    case "EPERM":
      return fail(
        "NO_PERMISSION",
        `this user may not open ${socketPath}: the mode of the socket or of a directory above it forbids it; open it to this user`,
      );
    default:
      return fail(
        "BAD_RESPONSE",
        `the exchange over ${socketPath} broke off, as when tailscaled restarts; try again: ${error}`,
      );
  }
}
