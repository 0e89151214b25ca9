import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { type AddressInfo, isIP } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sampleStatus, toJson } from "./sample-status.ts";

/** Answers a request that has passed the daemon's checks. */
export type FakeAnswer = (response: ServerResponse, query: URLSearchParams) => void;

/** The answers of the daemon's endpoints. */
export interface FakeAnswers {
  /** Default: `sampleStatus()`. */
  status?: FakeAnswer;
  /** Default: it knows no caller. */
  whois?: FakeAnswer;
  /** Default: it knows no peer. */
  ping?: FakeAnswer;
}

export interface FakeLocalApi extends AsyncDisposable {
  /** The path of its socket; with a token, it is a port on 127.0.0.1 instead. */
  socketPath: string;
  port: number;
  /** The requests that passed the checks. */
  requests: IncomingMessage[];
}

/** Sends a document as tailscaled would, including ids beyond 2^53. */
export const sendJson =
  (document: object): FakeAnswer =>
  (response) =>
    void response.setHeader("content-type", "application/json").end(toJson(document));

const defaults: Required<FakeAnswers> = {
  status: sendJson(sampleStatus()),
  whois: (response, query) =>
    void response.writeHead(404).end(`no match for ${query.get("addr")}\n`),
  ping: (response, query) =>
    sendJson({ IP: query.get("ip"), Err: "no matching peer" })(response, query),
};

/**
 * Starts a server that admits requests by the rules of tailscaled 1.102: `ipn/localapi`.
 *
 * @param options.token - Serves on a loopback port with that password, as the macOS apps do.
 * @param options.socketPath - Default: a new path, in a folder that is removed with the server.
 */
export async function startFakeLocalApi(
  answers: FakeAnswers = {},
  options: { token?: string; socketPath?: string } = {},
): Promise<FakeLocalApi> {
  const directory = await mkdtemp(join(tmpdir(), "loom-local-api-"));
  const socketPath = options.socketPath ?? join(directory, "tailscaled.sock");
  const requests: IncomingMessage[] = [];
  const endpoints = new Map(Object.entries({ ...defaults, ...answers }));
  const server = createServer((request, response) => {
    response.setHeader("Tailscale-Version", sampleStatus().Version);
    const { pathname, searchParams } = new URL(request.url ?? "", "http://localapi");
    const name = pathname.replace(/^\/localapi\/v0\//, "");
    const answer = endpoints.get(name);
    const refusal =
      refuseCaller(request, options.token) ??
      (answer ? refuseQuestion(name, request.method, searchParams) : [404, "404 page not found"]);
    if (refusal) response.writeHead(refusal[0]).end(`${refusal[1]}\n`);
    else {
      requests.push(request);
      answer?.(response, searchParams);
    }
  });
  if (options.token === undefined) server.listen(socketPath);
  else server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address() as AddressInfo | string;
  return {
    socketPath,
    port: typeof address === "string" ? 0 : address.port,
    requests,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
      await rm(directory, { recursive: true });
    },
  };
}

type Refusal = readonly [status: number, text: string] | undefined;

function refuseCaller({ headers }: IncomingMessage, token: string | undefined): Refusal {
  const { host = "", origin, referer, authorization } = headers;
  // tailscaled's validHost, and its defence against browsers.
  const hosts = ["", "local-tailscaled.sock", ...(token === undefined ? [] : ["127.0.0.1"])];
  if (!hosts.includes(host) || origin !== undefined || referer !== undefined) {
    return [403, "invalid localapi request"];
  }
  if (token === undefined) return undefined;
  if (authorization === undefined) return [401, "auth required"];
  const expected = `Basic ${Buffer.from(`:${token}`).toString("base64")}`;
  return authorization === expected ? undefined : [403, "bad password"];
}

function refuseQuestion(name: string, method: string | undefined, query: URLSearchParams): Refusal {
  if (name === "ping") {
    if (method !== "POST") return [400, "want POST"];
    return isIP(query.get("ip") ?? "") ? undefined : [400, "invalid 'ip' parameter"];
  }
  if (name !== "whois") return undefined;
  const addr = query.get("addr");
  if (!addr) return [400, "missing 'addr' parameter"];
  const [, v4, v6] = /^(?:([\d.]+)|\[([^\]]+)\]):\d+$/.exec(addr) ?? [];
  return isIP(v4 ?? v6 ?? "") ? undefined : [400, "invalid 'addr' parameter"];
}
