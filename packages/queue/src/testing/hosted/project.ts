import { randomBytes } from "node:crypto";
import { createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import type { Database } from "@loom/local-db";

/**
 * A database behind what plays the gateway of a hosted Supabase project. Real PostgREST and Postgres
 * answer; the gateway adds what a project's does, as far as it is known:
 *
 * - only the project's own keys pass, in `apikey`; each becomes a JWT of a minute, and is taken away
 * - a secret key is refused when a browser's name comes with it
 * - URL and headers together have 16 KB
 * - a request may be sent on twice, an answer may be lost, a page may come in its place
 *
 * The time limits of the roles are in {@link HOSTED_ROLES}. Postgres' module `safeupdate` is not played here,
 * because no build for the embedded Postgres exists: a test reads every function's statements instead.
 */
export interface HostedProject extends AsyncDisposable {
  readonly url: string;
  /** For the role `anon`. */
  readonly publishableKey: string;
  /** For the role `service_role`. */
  readonly secretKey: string;
  /** What happens to the next requests, one each; after them all is well. */
  disturb(...disturbances: Disturbance[]): void;
  stop(): Promise<void>;
}

type Disturbance =
  /** The request is sent on twice, as after a reset; the second answer comes. */
  | "repeat"
  /** It is sent on, and the connection breaks before the answer. */
  | "lose"
  /** Something before PostgREST answers. */
  | { status: number; type?: string; body: string };

/** The time that a project gives its roles. Settings of roles hold in every database of a server. */
export const HOSTED_ROLES = `
  alter role anon set statement_timeout = '3s';
  alter role authenticated set statement_timeout = '8s';
  alter role service_role set statement_timeout = '8s';
  alter role authenticator set lock_timeout = '8s';`;

const MAX_HEADER_BYTES = 16_384;
const newKey = (kind: string) => `sb_${kind}_${randomBytes(16).toString("base64url")}`;

export async function startHostedProject(
  database: Pick<Database, "url" | "signKey">,
): Promise<HostedProject> {
  const publishableKey = newKey("publishable");
  const secretKey = newKey("secret");
  const roles = new Map([
    [publishableKey, "anon"],
    [secretKey, "service_role"],
  ]);
  const disturbances: Disturbance[] = [];

  async function handle(asked: IncomingMessage, answer: ServerResponse): Promise<void> {
    const body = await buffer(asked);
    const disturbance = disturbances.shift();
    if (typeof disturbance === "object") {
      answer.writeHead(disturbance.status, { "content-type": disturbance.type ?? "text/html" });
      answer.end(disturbance.body);
      return;
    }
    const { apikey, ...headers } = asked.headers;
    const size = asked.rawHeaders.join("").length + (asked.url ?? "").length;
    if (size > MAX_HEADER_BYTES)
      return page(answer, 520, "Web server is returning an unknown error");
    if (typeof apikey !== "string") {
      const hint = "No `apikey` request header or url param was found.";
      return refuse(answer, { message: "No API key found in request", hint });
    }
    const role = roles.get(apikey);
    if (role === undefined) {
      return refuse(answer, { message: "Invalid API key", hint: "Double check your API key." });
    }
    if (role === "service_role" && /^Mozilla\//.test(headers["user-agent"] ?? "")) {
      answer.setHeader("sb-error-code", "UNAUTHORIZED_INVALID_API_KEY_TYPE");
      return refuse(answer, { message: "Forbidden use of secret API key in browser" });
    }
    // A bearer that is no key is somebody's own token; PostgREST judges it.
    if (headers.authorization === undefined || headers.authorization === `Bearer ${apikey}`) {
      const exp = Math.floor(Date.now() / 1_000) + 60;
      headers.authorization = `Bearer ${await database.signKey({ role, exp })}`;
    }
    const sendOn = () => forward(new URL(asked.url ?? "/", database.url), { asked, headers, body });
    if (disturbance === "repeat") await sendOn();
    const passed = await sendOn();
    if (disturbance === "lose") {
      answer.destroy();
      return;
    }
    answer.writeHead(passed.status, passed.headers).end(passed.body);
  }

  const server = createServer({ maxHeaderSize: 4 * 1_024 * 1_024 }, (asked, answer) => {
    handle(asked, answer).catch(() => answer.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const stop = async () => {
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    await closed;
  };
  return {
    url: `http://127.0.0.1:${port}`,
    publishableKey,
    secretKey,
    disturb: (...next) => void disturbances.push(...next),
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

/** Sends a request on, and reads the answer to its end. */
function forward(
  url: URL,
  {
    asked: { method },
    headers,
    body,
  }: { asked: IncomingMessage; headers: IncomingMessage["headers"]; body: Buffer },
): Promise<{ status: number; headers: IncomingMessage["headers"]; body: Buffer }> {
  return new Promise((resolve, reject) => {
    const { "transfer-encoding": _, ...rest } = headers;
    const sent = { ...rest, host: url.host, "content-length": String(body.length) };
    request(url, { method, headers: sent }, (answer) => {
      buffer(answer).then((read) => {
        const { "transfer-encoding": __, ...kept } = answer.headers;
        resolve({ status: answer.statusCode ?? 502, headers: kept, body: read });
      }, reject);
    })
      .on("error", reject)
      .end(body);
  });
}

function refuse(answer: ServerResponse, problem: { message: string; hint?: string }): void {
  answer.writeHead(401, { "content-type": "application/json" }).end(JSON.stringify(problem));
}

function page(answer: ServerResponse, status: number, title: string): void {
  answer.writeHead(status, { "content-type": "text/html" }).end(`<h1>${title}</h1>`);
}
