import { createRoute, OpenAPIHono, z } from "@hono/zod-openapi";
import type { HubDeps } from "../create-hub.ts";
import { problemResponse } from "../problem.ts";
import { runView, toRunView } from "../run-view.ts";

const getRoute = createRoute({
  method: "get",
  path: "/{id}",
  summary: "A run with its steps",
  request: { params: z.object({ id: z.string() }) },
  responses: {
    200: {
      description: "The run and a row for every step, in the workflow's order",
      content: { "application/json": { schema: runView } },
    },
    ...problemResponse,
  },
});

export const runRoutes = ({ queue }: Pick<HubDeps, "queue">) =>
  new OpenAPIHono().openapi(getRoute, async (c) =>
    c.json(toRunView(await queue.getRun(c.req.valid("param").id)), 200),
  );
