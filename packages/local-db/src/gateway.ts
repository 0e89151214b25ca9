import { Agent, createServer, request, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** Shorter than PostgREST's 30 s, so that a kept connection is never one that it just closed. */
const IDLE_MS = 15_000;

export interface Gateway {
  /** A Supabase-shaped URL on 127.0.0.1: `createClient(url, key)` works with it. */
  readonly url: string;
  stop(): Promise<void>;
}

/** Serves PostgREST's `/*` as `/rest/v1/*`, where supabase-js looks for it. */
export async function startGateway(socketPath: string): Promise<Gateway> {
  const agent = new Agent({ keepAlive: true, timeout: IDLE_MS });
  const server = createServer((incoming, answer) => {
    const [, path] = /^\/rest\/v1(?=[/?]|$)(.*)/.exec(incoming.url ?? "") ?? [];
    if (path === undefined) {
      refuse(answer, { status: 404, title: "Not Found", detail: "Only /rest/v1 is served here." });
      return;
    }
    const upstream = request({
      socketPath,
      agent,
      path: path.startsWith("/") ? path : `/${path}`,
      method: incoming.method,
      headers: incoming.headers,
    });
    upstream.on("response", (response) => {
      answer.writeHead(response.statusCode ?? 502, response.rawHeaders);
      response.on("error", () => answer.destroy()).pipe(answer);
    });
    upstream.on("error", (error) => {
      if (answer.headersSent || answer.destroyed) answer.destroy();
      else {
        const detail = `PostgREST does not answer: ${error.message}`;
        refuse(answer, { status: 502, title: "Bad Gateway", detail });
      }
    });
    // Also when all is well, and then it changes nothing.
    answer.on("close", () => upstream.destroy());
    incoming.pipe(upstream);
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    async stop() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      agent.destroy();
      await closed;
    },
  };
}

/** Answers with a problem document (RFC 9457). */
function refuse(
  answer: ServerResponse,
  problem: { status: number; title: string; detail: string },
): void {
  answer.writeHead(problem.status, { "content-type": "application/problem+json" });
  answer.end(JSON.stringify(problem));
}
