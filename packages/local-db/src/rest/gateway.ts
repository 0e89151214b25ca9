import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { Agent, createServer, request, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** Shorter than PostgREST's 30 s, so that a kept connection was not just closed by PostgREST. */
const IDLE_MS = 15_000;

export interface Gateway {
  /** A Supabase-shaped URL on 127.0.0.1: `createClient(url, key)` works with it. */
  readonly url: string;
  stop(): Promise<void>;
}

/**
 * Serves PostgREST's `/*` as `/rest/v1/*`, where supabase-js looks for it.
 *
 * @param options.portFile - Keeps the port, so that the URL is the same at the next start if the port is free.
 */
export async function startGateway(
  socketPath: string,
  { portFile }: { portFile?: string } = {},
): Promise<Gateway> {
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
    // This also runs after a complete answer, where it has no effect.
    answer.on("close", () => upstream.destroy());
    incoming.pipe(upstream);
  });
  await listen(server, portFile === undefined ? 0 : await keptPort(portFile));
  const { port } = server.address() as AddressInfo;
  if (portFile !== undefined) await writeFile(portFile, `${port}\n`);
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

/** Listens on a port of 127.0.0.1, or on any that is free where another program has that one now. */
async function listen(server: Server, port: number): Promise<void> {
  try {
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
  } catch (error) {
    if (port === 0 || (error as NodeJS.ErrnoException).code !== "EADDRINUSE") throw error;
    await listen(server, 0);
  }
}

/** The port of the last start; 0 for any. */
async function keptPort(file: string): Promise<number> {
  const port = Number(await readFile(file, "utf8").catch(() => "0"));
  return Number.isInteger(port) && port > 1_023 && port < 65_536 ? port : 0;
}

/** Answers with a problem document (RFC 9457). */
function refuse(
  answer: ServerResponse,
  problem: { status: number; title: string; detail: string },
): void {
  answer.writeHead(problem.status, { "content-type": "application/problem+json" });
  answer.end(JSON.stringify(problem));
}
