import { meshSchema } from "@loom/client/schemas";
import { describeMesh } from "@loom/explain";
import { answer, createRouter, route } from "@loom/http";
import { z } from "zod";
import type { HubContext } from "../hub-context.ts";
import { pingPeers, readTailnet } from "../listen/tailnet-client.ts";

const get = route("getMesh", "read", {
  method: "get",
  path: "/",
  summary: "The machines of the tailnet, with the path to each and the state of its agent",
  request: {
    query: z.strictObject({
      ping: z.enum(["true", "false"]).default("false").openapi({
        description: "Also ping the machines that are online, at most 30; this takes up to 20 s",
      }),
    }),
  },
  responses: { 200: answer("The machines as this hub's machine sees them", meshSchema) },
  fails: [422],
});

export function meshRoutes({ queue, tailnetClient }: HubContext) {
  const app = createRouter();

  app.openapi(get, async (c) => {
    const [nodes, tailnet] = await Promise.all([queue.listNodes(), readTailnet(tailnetClient)]);
    const isPinging = c.req.valid("query").ping === "true";
    const pongs =
      isPinging && tailnetClient && tailnet.isKnown
        ? await pingPeers(tailnetClient, tailnet.peers)
        : undefined;
    return c.json(describeMesh(tailnet, nodes, pongs), 200);
  });

  return app;
}
