import { createRoute, z } from "@hono/zod-openapi";
import { createRouter, type RouteDeps } from "../hub-context.ts";
import { answer } from "../json-content.ts";
import { commonProblems, operation } from "../operation.ts";
import { problems } from "../problem.ts";
import { withIsoDates } from "../views/iso-dates.ts";
import { pageOf, pageQuery, readCursor, toPage } from "../views/page.ts";
import { requestView } from "../views/request.ts";

const list = createRoute({
  ...operation("listAudit", "operate"),
  method: "get",
  path: "/",
  summary: "What was changed, by whom and from where, newest first",
  request: { query: z.strictObject(pageQuery) },
  responses: {
    200: answer("A page of entries", pageOf(requestView)),
    ...commonProblems,
    ...problems(422),
  },
});

export function auditRoutes({ queue }: RouteDeps) {
  const app = createRouter();
  app.openapi(list, async (c) => {
    const { cursor, limit } = c.req.valid("query");
    const after = readCursor(cursor, { list: "audit" }, z.string());
    const { requests, next } = await queue.listRequests({ after, limit });
    return c.json(toPage(c, requests.map(withIsoDates), next, { list: "audit" }), 200);
  });
  return app;
}
