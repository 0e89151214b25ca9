import type { NodeKey } from "@loom/client";
import {
  allowedOffersSchema,
  allowRequest,
  nodeKeySchema,
  revokedNodeKeySchema,
} from "@loom/client/schemas";
import {
  answer,
  audited,
  auditedOnce,
  body,
  createRouter,
  idempotencyHeaders,
  problem,
  route,
  withIsoDates,
} from "@loom/http";
import type { NodeKey as QueueNodeKey } from "@loom/queue";
import { z } from "zod";
import type { HubContext } from "../hub-context.ts";

const list = route("listNodeKeys", "operate", {
  method: "get",
  path: "/{name}/keys",
  summary: "The keys of a node: those that are valid, then revoked ones, newest first",
  request: { params: z.object({ name: z.string() }) },
  responses: {
    200: answer("The keys, without their secrets", z.object({ data: z.array(nodeKeySchema) })),
  },
  fails: [404],
});

const revoke = route("revokeNodeKey", "admin", {
  method: "delete",
  path: "/{name}/keys/{id}",
  summary: "Revoke a key of a node",
  description:
    "The keys that the node made with it are revoked as well. The session that they opened ends, and the node's jobs and offers go back at once. Its agent ends, unless it has another key.",
  request: { params: z.object({ name: z.string(), id: z.string() }) },
  responses: { 200: answer("The key, and how much went back", revokedNodeKeySchema) },
  fails: [404],
});

const allow = route("allowOffers", "admin", {
  method: "post",
  path: "/{name}/allow",
  summary: "Let a node offer names that it declares, or take that back",
  description:
    "A node offers what its probes measure. Other names, credentials and `exec` it only asks for (`askedCapabilities`), until they are allowed.",
  request: {
    params: z.object({ name: z.string() }),
    headers: idempotencyHeaders,
    body: body(allowRequest),
  },
  responses: { 200: answer("What its keys let it offer now", allowedOffersSchema) },
  fails: [404, 409],
});

export function nodeKeyRoutes({ queue, onJobsAdded, onOrders }: HubContext) {
  const app = createRouter();
  const isKnown = async (name: string) =>
    (await queue.listNodes()).some((node) => node.name === name);

  app.openapi(list, async (c) => {
    const { name } = c.req.valid("param");
    const keys = await queue.listNodeKeys(name);
    if (keys.length === 0 && !(await isKnown(name))) throw problem("NODE_NOT_FOUND", name);
    return c.json({ data: keys.map(toKey) }, 200);
  });

  app.openapi(revoke, async (c) => {
    const { name, id } = c.req.valid("param");
    const known = await queue.listNodeKeys(name);
    const revoked = known.some((key) => key.id === id)
      ? await audited(c, queue).revokeNodeKey(id)
      : null;
    if (!revoked) throw problem("NODE_KEY_NOT_FOUND", id, name);
    onJobsAdded();
    return c.json({ key: toKey(revoked.key), requeued: revoked.requeued }, 200);
  });

  app.openapi(allow, async (c) => {
    const { name } = c.req.valid("param");
    const { names, allow: isAllowed } = c.req.valid("json");
    const changed = await (await auditedOnce(c, queue)).allowOffers(name, names, {
      allow: isAllowed ?? true,
    });
    if (!changed) {
      throw problem((await isKnown(name)) ? "NODE_WITHOUT_KEY" : "NODE_NOT_FOUND", name);
    }
    onOrders([name]);
    onJobsAdded();
    return c.json(changed, 200);
  });

  return app;
}

const toKey = ({ tailnetId: _, ...key }: QueueNodeKey): NodeKey => withIsoDates(key);
