import { diagnosisSchema } from "@loom/client/schemas";
import { examine } from "@loom/explain";
import { answer, createRouter, route } from "@loom/http";
import { gatherFacts } from "../doctor/gather-facts.ts";
import type { HubContext } from "../hub-context.ts";

const get = route("getDoctor", "read", {
  method: "get",
  path: "/",
  summary: "Check what keeps remote steps from running",
  responses: {
    200: answer("Every check with its findings and how to fix each", diagnosisSchema),
  },
});

export function doctorRoutes(hub: HubContext) {
  const app = createRouter();
  app.openapi(get, async (c) => c.json(examine(await gatherFacts(hub)), 200));
  return app;
}
