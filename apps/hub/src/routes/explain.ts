import { createRoute, z } from "@hono/zod-openapi";
import { InvalidClauseError, parseClause } from "@loom/scheduler";
import { explainNeed } from "../explain/explain-job.ts";
import { weighNode } from "../explain/weigh.ts";
import { createRouter, type RouteDeps } from "../hub-context.ts";
import { answer, json } from "../json-content.ts";
import { commonProblems, operation } from "../operation.ts";
import { problems } from "../problem.ts";
import { explanationView } from "../views/explanation.ts";

const MAX_CLAUSES = 100;

const clause = z.string().superRefine((text, context) => {
  try {
    parseClause(text);
  } catch (error) {
    if (!(error instanceof InvalidClauseError)) throw error;
    context.addIssue({ code: "custom", message: error.message });
  }
});

const explain = createRoute({
  ...operation("explain", "read"),
  method: "post",
  path: "/",
  summary: "Which node would take a step that requires this, and why no other",
  request: {
    body: {
      required: true,
      ...json(
        z.strictObject({
          requires: z.array(clause).max(MAX_CLAUSES).default([]),
          host: z.string().min(1).max(63).optional().openapi({ description: "Pins it to a node" }),
          prefers: z
            .array(z.strictObject({ clause, weight: z.number().min(0).max(1_000_000) }))
            .max(MAX_CLAUSES)
            .default([]),
        }),
      ),
    },
  },
  responses: {
    200: answer("Every filter and clause, asked of every node as it is now", explanationView),
    ...commonProblems,
    ...problems(400, 413, 415, 422),
  },
});

/** What would become of a step that nobody has written yet. */
export function explainRoutes({ queue }: Pick<RouteDeps, "queue">) {
  const app = createRouter();

  app.openapi(explain, async (c) => {
    const asked = c.req.valid("json");
    const nodes = (await queue.listNodes()).map(weighNode);
    return c.json(explainNeed({ ...asked, host: asked.host ?? null }, nodes), 200);
  });

  return app;
}
