import { explainRequest, explanationSchema } from "@loom/client/schemas";
import { explainNeed, toScoredNode } from "@loom/explain";
import { answer, body, createRouter, route } from "@loom/http";
import type { HubContext } from "../hub-context.ts";

const explain = route("explain", "read", {
  method: "post",
  path: "/",
  summary: "Which node would run a step with these requirements, and why no other node would",
  request: { body: body(explainRequest) },
  responses: {
    200: answer(
      "The result of every filter and clause for every node, as the nodes are now",
      explanationSchema,
    ),
  },
});

/** Explains the placement of a step that need not exist. */
export function explainRoutes({ queue }: Pick<HubContext, "queue">) {
  const app = createRouter();

  app.openapi(explain, async (c) => {
    const step = c.req.valid("json");
    const nodes = (await queue.listNodes()).map(toScoredNode);
    return c.json(explainNeed({ ...step, host: step.host ?? null }, nodes), 200);
  });

  return app;
}
