import { createRoute, z } from "@hono/zod-openapi";
import { suggestNames } from "@loom/scheduler";
import { createRouter, type RouteDeps } from "../hub-context.ts";
import { answer } from "../json-content.ts";
import { commonProblems, operation } from "../operation.ts";
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

export function nodeRoutes({ queue }: RouteDeps) {
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

  return app;
}

function unknownNode(name: string, known: string[]): ProblemError {
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
