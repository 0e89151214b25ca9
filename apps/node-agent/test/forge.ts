import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import type { Queue } from "@loom/queue";
import { makePlan } from "@loom/queue/testing";
import { onTestFinished } from "vitest";
import { startAgent } from "./program.ts";
import { visit } from "./workflows/visit.ts";

type Answer = (response: ServerResponse) => void;

/** A server on a port of its own; `visited` resolves with its first request's response. */
export async function openDoor(answer: Answer = () => {}) {
  const visited = Promise.withResolvers<ServerResponse>();
  const server = createServer((_request, response) => {
    visited.resolve(response);
    answer(response);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, visited: visited.promise };
}

/** An agent called forge on this database, quick to look for work. */
export async function startForge(
  database: { url: string; signKey(claims: { role: string; node: string }): Promise<string> },
  env: Record<string, string> = {},
) {
  const agent = startAgent({
    SUPABASE_URL: database.url,
    LOOM_NODE_KEY: await database.signKey({ role: "service_role", node: "forge" }),
    LOOM_NODE_NAME: "forge",
    LOOM_CAPABILITIES: "has-door",
    LOOM_WORKFLOWS_DIR: fileURLToPath(new URL("workflows", import.meta.url)),
    POLL_INTERVAL_MS: "50",
    ...env,
  });
  await agent.said("agent started");
  return agent;
}

/** Starts a run whose only step waits for the agent, on the node forge. */
export const startVisit = (queue: Queue, url: string) =>
  queue.startRun(
    makePlan([{ step: "ask", host: "forge", requires: ["has-door", "workflow:visit"] }], {
      workflow: visit.name,
      input: { url },
    }),
  );
