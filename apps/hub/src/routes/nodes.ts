import { createRoute, OpenAPIHono, z } from "@hono/zod-openapi";
import type { HubDeps } from "../create-hub.ts";
import { invalidRequest } from "../invalid-request.ts";
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

const STATUS_OF = { pause: "paused", drain: "draining", resume: "active" } as const;

const steerRoute = createRoute({
  method: "post",
  path: "/{name}/{verb}",
  summary: "Pause or drain a node, or let it take work again",
  request: {
    params: z.object({ name: z.string(), verb: z.enum(["pause", "drain", "resume"]) }),
    body: {
      required: false,
      content: {
        "application/json": {
          schema: z.strictObject({
            note: z.string().max(2_000).optional().openapi({ description: "Why, for people" }),
            forMs: z.int().min(0).max(31_536_000_000).optional().openapi({
              description: "When a pause ends by itself, or the deadline of a drain",
            }),
          }),
        },
      },
    },
  },
  responses: {
    200: {
      description: "The node hears of it with its next heartbeat; its offers are placed elsewhere",
      content: {
        "application/json": {
          schema: z.object({
            status: z.enum(["active", "paused", "draining"]),
            returned: z.int().openapi({ description: "Offers that were taken back" }),
          }),
        },
      },
    },
    ...problemResponse,
  },
});

export const nodeRoutes = ({ queue }: Pick<HubDeps, "queue">) =>
  new OpenAPIHono({ defaultHook: invalidRequest })
    .openapi(listRoute, async (c) => {
      const nodes = await queue.listNodes();
      return c.json({ nodes: nodes.map((node) => nodeView.parse(node)) }, 200);
    })
    .openapi(steerRoute, async (c) => {
      const { name, verb } = c.req.valid("param");
      const status = STATUS_OF[verb];
      const set = await queue.setNodeStatus(name, { status, ...c.req.valid("json") });
      return c.json({ status, ...set }, 200);
    });
