import { createRoute } from "@hono/zod-openapi";
import { examine } from "../doctor/examine.ts";
import { gatherFacts } from "../doctor/gather.ts";
import { createRouter, type RouteDeps } from "../hub-context.ts";
import { answer } from "../json-content.ts";
import { commonProblems, operation } from "../operation.ts";
import { doctorView } from "../views/doctor.ts";

const get = createRoute({
  ...operation("getDoctor", "read"),
  method: "get",
  path: "/",
  summary: "What a person would check when a remote step stays pending",
  responses: {
    200: answer("Every check with what was found and what would mend it", doctorView),
    ...commonProblems,
  },
});

export function doctorRoutes(deps: RouteDeps) {
  const app = createRouter();
  app.openapi(get, async (c) => c.json(examine(await gatherFacts(deps)), 200));
  return app;
}
