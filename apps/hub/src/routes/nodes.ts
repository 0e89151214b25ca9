import { createRoute, z } from "@hono/zod-openapi";
import { suggestNames } from "@loom/scheduler";
import { createRouter, type RouteDeps } from "../hub-context.ts";
import { answer, json } from "../json-content.ts";
import { actOnceFor, commonProblems, idempotencyHeaders, operation } from "../operation.ts";
import { ProblemError, problems } from "../problem.ts";
import { nodeView, toNodeView } from "../views/node.ts";

const list = createRoute({
  ...operation("listNodes", "read"),
  method: "get",
  path: "/",
  summary: "Every node, by name",
  responses: {
    200: answer("What each offers and how busy it is", z.object({ data: z.array(nodeView) })),
    ...commonProblems,
  },
});

const get = createRoute({
  ...operation("getNode", "read"),
  method: "get",
  path: "/{name}",
  summary: "A node",
  request: { params: z.object({ name: z.string() }) },
  responses: {
    200: answer("What it offers and how busy it is", nodeView),
    ...commonProblems,
    ...problems(404),
  },
});

const STATUS_OF = { pause: "paused", drain: "draining", resume: "active" } as const;

const steer = createRoute({
  ...operation("steerNode", "operate"),
  method: "post",
  path: "/{name}/{verb}",
  summary: "Pause or drain a node, or let it take work again",
  request: {
    params: z.object({ name: z.string(), verb: z.enum(["pause", "drain", "resume"]) }),
    headers: idempotencyHeaders,
    body: {
      required: false,
      ...json(
        z.strictObject({
          note: z.string().max(2_000).optional().openapi({ description: "Why, for people" }),
          forMs: z.int().min(0).max(31_536_000_000).optional().openapi({
            description: "When a pause ends by itself, or the deadline of a drain",
          }),
        }),
      ),
    },
  },
  responses: {
    200: answer(
      "The node hears of it with its next heartbeat; its offers are placed elsewhere",
      z.object({
        status: z.enum(["active", "paused", "draining"]),
        returned: z.int().openapi({ description: "Offers that were taken back" }),
      }),
    ),
    ...commonProblems,
    ...problems(400, 404, 413, 415, 422),
  },
});

export function nodeRoutes({ queue, onJobsAdded }: RouteDeps) {
  const app = createRouter();

  app.openapi(list, async (c) => {
    const nodes = await queue.listNodes();
    return c.json({ data: nodes.map(toNodeView) }, 200);
  });

  app.openapi(get, async (c) => {
    const { name } = c.req.valid("param");
    const nodes = await queue.listNodes();
    const node = nodes.find((known) => known.name === name);
    if (!node)
      throw unknownNode(
        name,
        nodes.map((known) => known.name),
      );
    return c.json(toNodeView(node), 200);
  });

  app.openapi(steer, async (c) => {
    const { name, verb } = c.req.valid("param");
    const status = STATUS_OF[verb];
    const acting = await actOnceFor(c, queue);
    const set = await acting.setNodeStatus(name, { status, ...c.req.valid("json") });
    onJobsAdded();
    return c.json({ status, ...set }, 200);
  });

  return app;
}

export function unknownNode(name: string, known: string[]): ProblemError {
  const suggestions = suggestNames(name, known);
  const meant = suggestions.length > 0 ? `; did you mean ${suggestions.join(" or ")}?` : "";
  return new ProblemError({
    title: "Node not found",
    status: 404,
    code: "NODE_NOT_FOUND",
    detail: `there is no node ${name}${meant}`,
    hint: known.length > 0 ? `known nodes: ${known.join(", ")}` : "no node has said hello yet",
    suggestions,
  });
}
