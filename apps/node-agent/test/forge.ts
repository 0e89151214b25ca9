import { once } from "node:events";
import { createServer, request, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import type { Queue } from "@loom/queue";
import { grantNodeKey, makePlan, type QueueFixtures } from "@loom/queue/testing";
import { onTestFinished } from "vitest";
import { startAgent } from "./program.ts";
import { visit } from "./workflows/visit.ts";

type Answer = (response: ServerResponse) => void;

/** A server on a port of its own; `visited` resolves with its first request's response. */
export async function openSite(answer: Answer = () => {}) {
  const visited = Promise.withResolvers<ServerResponse>();
  const server = createServer((_request, response) => {
    visited.resolve(response);
    answer(response);
  });
  return { url: await listen(server), visited: visited.promise };
}

/** Passes requests on to a database, and keeps the names of the functions that are called. */
export async function openRecorder(database: string) {
  const calls: string[] = [];
  let open = 0;
  const server = createServer((asked, response) => {
    calls.push(asked.url?.split("/").at(-1) ?? "");
    open += 1;
    response.once("close", () => {
      open -= 1;
    });
    const { method = "GET", headers } = asked;
    const passed = request(new URL(asked.url ?? "/", database), { method, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    passed.on("error", () => response.destroy());
    asked.pipe(passed);
  });
  return {
    url: await listen(server),
    calls,
    /** The last call, once every call has its answer. */
    lastAnswered: () => (open === 0 ? calls.at(-1) : undefined),
  };
}

async function listen(server: Server): Promise<string> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return `http://127.0.0.1:${port}`;
}

/** An agent called forge on this database, which polls often. */
export async function startForge(
  database: Pick<QueueFixtures["database"], "url" | "anonKey" | "sql">,
  env: Record<string, string> = {},
  options?: Parameters<typeof startAgent>[2],
) {
  const settings = {
    SUPABASE_URL: database.url,
    SUPABASE_PUBLISHABLE_KEY: database.anonKey,
    LOOM_NODE_KEY: await grantNodeKey(database, "forge"),
    LOOM_NODE_NAME: "forge",
    LOOM_CAPABILITIES: "has-site",
    LOOM_WORKFLOWS_DIR: fileURLToPath(new URL("workflows", import.meta.url)),
    POLL_INTERVAL_MS: "50",
    ...env,
  };
  const agent = startAgent(settings, [], options);
  await agent.said("agent started");
  return agent;
}

/** Starts a run whose only step waits for the agent, on the node forge. */
export const startVisit = (queue: Queue, url: string) =>
  queue.startRun(
    makePlan([{ step: "ask", host: "forge", requires: ["has-site", "workflow:visit"] }], {
      workflow: visit.name,
      input: { url },
    }),
  );
