import type { Database } from "@loom/local-db";
import { NODE_FUNCTIONS } from "../../migrate.ts";
import { type Queue, queueOver } from "../../queue.ts";
import type { Transport } from "../../transport/call.ts";
import { httpTransport } from "../../transport/http.ts";
import { databaseTest } from "../database-test.ts";
import { grantNodeKey } from "./node-key.ts";
import { type HostedProject, startHostedProject } from "./project.ts";

const nodeFunctions = new Set<string>(NODE_FUNCTIONS);
const NODE_NAME = /^[a-z0-9][a-z0-9._-]{0,62}$/;

/** The transport of a hub, with the secret key; or of an agent, with the publishable one and a node's key. */
export function hostedTransport(project: HostedProject, nodeKey?: string): Transport {
  const key = nodeKey === undefined ? project.secretKey : project.publishableKey;
  return httpTransport({ url: project.url, key, nodeKey });
}

/**
 * Calls as a fleet does: what an agent asks goes with the key of the node that it is about, and everything
 * else with the secret key. A node gets its key when it first speaks.
 */
function fleetTransport(project: HostedProject, database: Database): Transport {
  const hub = hostedTransport(project);
  const agents = new Map<string, Promise<Transport>>();
  const agentOf = (node: string): Promise<Transport> => {
    const agent =
      agents.get(node) ?? grantNodeKey(database, node).then((key) => hostedTransport(project, key));
    agents.set(node, agent);
    return agent;
  };
  return {
    async call(name, args) {
      const { p_node: node, p_is_hub: isHub } = args;
      const isAgents = nodeFunctions.has(name) && typeof node === "string" && NODE_NAME.test(node);
      const transport = isAgents && !isHub ? await agentOf(node) : hub;
      return transport.call(name, args);
    },
  };
}

/**
 * `databaseTest` behind a hosted project: `project` is its gateway, and `queue` calls with a node's key
 * where an agent would.
 */
export const hostedTest = databaseTest
  .extend("project", { scope: "worker" }, async ({ database }, { onCleanup }) => {
    const project = await startHostedProject(database);
    onCleanup(() => project.stop());
    return project;
  })
  .extend("queue", ({ project, database }): Queue => queueOver(fleetTransport(project, database)));
