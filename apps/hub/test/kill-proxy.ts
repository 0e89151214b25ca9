import { once } from "node:events";
import { createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import { buffer, text } from "node:stream/consumers";
import { onTestFinished } from "vitest";

/** A call of the hub to the database, and whether its answer exists already. */
export interface KillPoint {
  call: string;
  when: "before" | "after";
}

/**
 * The database's API as a hub sees it that dies at one call: before the call arrives, or after its
 * transaction has committed and before the hub knows. Nothing passes from then on.
 *
 * @returns Its address; `kill` is called once.
 */
export async function startKillProxy(
  upstream: string,
  point: KillPoint,
  kill: () => void,
): Promise<string> {
  let isDead = false;
  const die = () => {
    if (!isDead) kill();
    isDead = true;
  };
  async function pass(asked: IncomingMessage, answer: ServerResponse): Promise<void> {
    const body = await text(asked);
    const isPoint = calledIn(asked.url ?? "", body) === point.call;
    if (isPoint && point.when === "before") die();
    if (isDead) return void asked.socket.destroy();
    const passed = request(new URL(asked.url ?? "", upstream), {
      method: asked.method,
      headers: { ...asked.headers, host: new URL(upstream).host },
    });
    passed.end(body);
    const [given] = await once(passed, "response");
    const content = await buffer(given);
    if (isPoint) die();
    if (isDead) return void asked.socket.destroy();
    answer.writeHead(given.statusCode, given.headers).end(content);
  }
  const server = createServer((asked, answer) => {
    // The hub, or this test, ended in the middle of it.
    pass(asked, answer).catch(() => asked.socket.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const address = server.address();
  return `http://127.0.0.1:${typeof address === "object" ? address?.port : ""}`;
}

/** The function that a request calls; for one that is written down with who asked, that one. */
function calledIn(url: string, body: string): string {
  const name = url.slice(url.lastIndexOf("/") + 1);
  return name === "loom_with_audit"
    ? (JSON.parse(body) as { p_function: string }).p_function
    : name;
}
