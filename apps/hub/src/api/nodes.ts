import { setImmediate } from "node:timers/promises";
import type { Node } from "@loom/client";
import {
  nodeSchema,
  nodeVerb,
  removedNodeSchema,
  steeredSchema,
  steerRequest,
} from "@loom/client/schemas";
import {
  answer,
  audited,
  auditedOnce,
  createRouter,
  idempotencyHeaders,
  optionalBody,
  problem,
  route,
} from "@loom/http";
import { describeAgent } from "@loom/join";
import type { Node as QueueNode } from "@loom/queue";
import { z } from "zod";
import type { HubContext } from "../hub-context.ts";

const list = route("listNodes", "read", {
  method: "get",
  path: "/",
  summary: "Every node, by name",
  responses: {
    200: answer(
      "The capabilities and the load of each node",
      z.object({ data: z.array(nodeSchema) }),
    ),
  },
});

const get = route("getNode", "read", {
  method: "get",
  path: "/{name}",
  summary: "A node",
  request: { params: z.object({ name: z.string() }) },
  responses: { 200: answer("The capabilities and the load of the node", nodeSchema) },
  fails: [404],
});

const steer = route("steerNode", "operate", {
  method: "post",
  path: "/{name}/{verb}",
  summary: "Pause, drain or resume a node",
  request: {
    params: z.object({ name: z.string(), verb: nodeVerb }),
    headers: idempotencyHeaders,
    body: optionalBody(steerRequest),
  },
  responses: {
    200: answer(
      "The node learns of it by a wake-up or with its next heartbeat; its offers are placed elsewhere",
      steeredSchema,
    ),
  },
  fails: [404],
});

const remove = route("removeNode", "admin", {
  method: "delete",
  path: "/{name}",
  summary: "Revoke a node's keys, give its work back and forget it",
  description:
    "An agent that still runs there is refused and ends. One that has the project's service key comes back: stop it first.",
  request: {
    params: z.object({ name: z.string() }),
    query: z.object({
      force: z
        .enum(["true", "false"])
        .optional()
        .openapi({ description: "Also while the node runs steps" }),
    }),
  },
  responses: { 200: answer("The node is forgotten", removedNodeSchema) },
  fails: [404, 409, 422],
});

const STATUS_AFTER = { pause: "paused", drain: "draining", resume: "active" } as const;

export function nodeRoutes({ queue, join, onJobsAdded, onOrders }: HubContext) {
  const app = createRouter();
  /** Packing the agent takes seconds, so nobody waits for it here: a later answer has its digest. */
  const presentAgent = async (nodes: readonly QueueNode[]): Promise<string | undefined> => {
    if (!join.agent || !nodes.some(({ facts }) => facts.agent)) return undefined;
    const digest = join.agent().then(
      (agent) => agent.digest,
      () => undefined,
    );
    return await Promise.race([digest, setImmediate(undefined)]);
  };

  app.openapi(list, async (c) => {
    const nodes = await queue.listNodes();
    const agent = await presentAgent(nodes);
    return c.json({ data: nodes.map((node) => toNode(node, agent)) }, 200);
  });

  app.openapi(get, async (c) => {
    const { name } = c.req.valid("param");
    const nodes = await queue.listNodes();
    const node = nodes.find((known) => known.name === name);
    if (!node) {
      const names = nodes.map((known) => known.name);
      throw problem("NODE_NOT_FOUND", name, names);
    }
    return c.json(toNode(node, await presentAgent(nodes)), 200);
  });

  app.openapi(steer, async (c) => {
    const { name, verb } = c.req.valid("param");
    const status = STATUS_AFTER[verb];
    const audited = await auditedOnce(c, queue);
    const { returned } = await audited.setNodeStatus(name, { status, ...c.req.valid("json") });
    onOrders([name]);
    onJobsAdded();
    return c.json({ status, returned }, 200);
  });

  app.openapi(remove, async (c) => {
    const { name } = c.req.valid("param");
    const force = c.req.valid("query").force === "true";
    const removed = await audited(c, queue).removeNode(name, { force });
    if (!removed) throw problem("NODE_NOT_FOUND", name);
    onJobsAdded();
    return c.json(removed, 200);
  });

  return app;
}

/** The fields of a node that the API shows. */
const toNode = (node: QueueNode, presentAgent: string | undefined): Node =>
  nodeSchema.parse({
    ...node,
    statusUntil: node.statusUntil?.toISOString() ?? null,
    agent: describeAgent(node, presentAgent),
  });
