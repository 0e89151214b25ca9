import { createRoute, OpenAPIHono, z } from "@hono/zod-openapi";
import type { HubDeps } from "../create-hub.ts";
import { problemResponse } from "../problem.ts";

const nodeView = z
  .object({
    name: z.string(),
    online: z.boolean(),
    status: z.enum(["active", "paused", "draining"]),
    lastSeenMs: z.number().nullable(),
    capabilities: z.array(z.string()),
    slots: z.int(),
    running: z.int(),
    offered: z.int(),
    agentVersion: z.string().nullable(),
    facts: z.record(z.string(), z.unknown()),
  })
  .openapi("Node");

const listRoute = createRoute({
  method: "get",
  path: "/",
  summary: "Every node, by name",
  responses: {
    200: {
      description: "What each node offers and how busy it is",
      content: { "application/json": { schema: z.object({ nodes: z.array(nodeView) }) } },
    },
    ...problemResponse,
  },
});

export const nodeRoutes = ({ queue }: Pick<HubDeps, "queue">) =>
  new OpenAPIHono().openapi(listRoute, async (c) => {
    const nodes = await queue.listNodes();
    return c.json({ nodes: nodes.map((node) => nodeView.parse(node)) }, 200);
  });
