import { auditEntrySchema, pageOf, pageQuery } from "@loom/client/schemas";
import { answer, createRouter, readCursor, route, toPage, withIsoDates } from "@loom/http";
import { z } from "zod";
import type { HubContext } from "../hub-context.ts";

const list = route("listAudit", "operate", {
  method: "get",
  path: "/",
  summary: "Changes, newest first, with who made each and from which address",
  request: { query: z.strictObject(pageQuery) },
  responses: { 200: answer("A page of entries", pageOf(auditEntrySchema)) },
  fails: [422],
});

export function auditRoutes({ queue }: HubContext) {
  const app = createRouter();
  app.openapi(list, async (c) => {
    const { cursor, limit } = c.req.valid("query");
    const filters = { list: "audit" };
    const after = readCursor(cursor, filters, z.string());
    const { requests, next } = await queue.listRequests({ after, limit });
    return c.json(toPage(c, requests.map(withIsoDates), next, filters), 200);
  });
  return app;
}
