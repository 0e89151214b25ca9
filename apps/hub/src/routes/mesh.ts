import { createRoute, z } from "@hono/zod-openapi";
import { createRouter, type RouteDeps } from "../hub-context.ts";
import { answer } from "../json-content.ts";
import { describeMesh } from "../mesh/describe-mesh.ts";
import { pingPeers } from "../mesh/ping-peers.ts";
import { readTailnet } from "../mesh/read-tailnet.ts";
import { commonProblems, operation } from "../operation.ts";
import { problems } from "../problem.ts";
import { meshView } from "../views/mesh.ts";

const get = createRoute({
  ...operation("getMesh", "read"),
  method: "get",
  path: "/",
  summary: "The machines of the tailnet: the way to each, and how its agent is",
  request: {
    query: z.strictObject({
      ping: z.enum(["true", "false"]).default("false").openapi({
        description: "Also ping those that are up, at most 30: takes up to 20 s",
      }),
    }),
  },
  responses: {
    200: answer("As this hub's machine sees them", meshView),
    ...commonProblems,
    ...problems(422),
  },
});

export function meshRoutes({ queue, mesh }: RouteDeps) {
  const app = createRouter();

  app.openapi(get, async (c) => {
    const [nodes, tailnet] = await Promise.all([queue.listNodes(), readTailnet(mesh)]);
    const isAsked = c.req.valid("query").ping === "true";
    const pongs =
      isAsked && mesh && tailnet.isKnown ? await pingPeers(mesh, tailnet.peers) : undefined;
    return c.json(describeMesh(tailnet, nodes, pongs), 200);
  });

  return app;
}
