import { createRoute } from "@hono/zod-openapi";
import { joinedSchema, joinRequest } from "@loom/client/schemas";
import {
  addressOf,
  answer,
  audited,
  body,
  createRateLimiter,
  createRouter,
  exactJson,
  type Identity,
  isLoopback,
  problem,
  type RequestContext,
} from "@loom/http";
import { digestOf } from "@loom/queue";
import { bodyLimit } from "hono/body-limit";
import type { JoinHub } from "./join-context.ts";
import { originOf, safeWaysOnly } from "./place.ts";
import { findTailnetPeer, type TailnetPeer } from "./tailnet-peer.ts";

const PATH = "/api/loom/join";
const MAX_BODY_BYTES = 4_096;
/** Machines join one at a time; a token cannot be guessed at any rate. */
const RATE = { burst: 20, perSecond: 1 };

const join = createRoute({
  operationId: "joinMachine",
  method: "post",
  path: PATH,
  // It takes no token of the API, and only loom-agent calls it.
  hide: true,
  request: { body: body(joinRequest) },
  responses: {
    200: answer("What the machine needs to work as a node", joinedSchema),
  },
});

/** `POST /api/loom/join`: a machine that has no credential of the API becomes a node. */
export function joinRoutes(hub: JoinHub) {
  const { queue, metrics, log, databaseId } = hub;
  const app = createRouter();
  const count = createRateLimiter(RATE);
  app.use(PATH, async (c, next) => {
    await next();
    if (c.req.method === "POST") metrics.joins.inc({ result: c.res.ok ? "joined" : "refused" });
  });
  app.use(PATH, safeWaysOnly(hub.join));
  app.use(PATH, async (c, next) => {
    count(c, addressOf(c));
    c.set("action", "joinMachine");
    await next();
  });
  app.use(PATH, bodyLimit({ maxSize: MAX_BODY_BYTES, onError: refuseLargeBody }));
  app.use(PATH, exactJson);

  app.openapi(join, async (c) => {
    const { token, node, digest } = c.req.valid("json");
    const { publishableKey, databaseUrl, codeKey } = hub.join;
    if (publishableKey === undefined) {
      throw problem("JOIN_UNAVAILABLE", "key");
    }
    const how =
      token === undefined
        ? await byTailnet(c, hub, node)
        : { node: nameFor(node), tokenDigest: digestOf(token), who: "a join token" };
    c.set("identity", joiner(how.who));
    const { who, ...asked } = how;
    const joined = await audited(c, queue).joinNode({ ...asked, digest, createdBy: who });
    log.info({ node: joined.node, who }, "a machine joined");
    const url = originOf(c);
    return c.json(
      {
        node: joined.node,
        hub: { id: await databaseId(), url },
        // Other machines reach a database on this machine's loopback through the hub.
        database: { url: isLocal(databaseUrl) ? url : databaseUrl, publishableKey },
        codeKey,
      },
      200,
    );
  });

  return app;
}

const isLocal = (url: string): boolean =>
  isLoopback(new URL(url).hostname.replace(/^\[(.*)\]$/, "$1"));

function nameFor(node: string | undefined): string {
  if (node !== undefined) return node;
  throw problem("INVALID_REQUEST", "joinMachine", [
    { path: "node", message: "is missing: a machine that joins with a token says its name" },
  ]);
}

/** A machine of the tailnet has its name there. */
async function byTailnet(c: RequestContext, { join, log }: JoinHub, node: string | undefined) {
  const peer: TailnetPeer = await findTailnetPeer(c, { ...join, log });
  if (node !== undefined && node !== peer.name) {
    throw problem("JOIN_NAME_REFUSED", peer.name, node);
  }
  return { node: peer.name, tailnetId: peer.id, mayOffer: [], who: peer.who };
}

/** The caller as the audit names it. It may do nothing else. */
const joiner = (who: string): Identity => ({
  who,
  subject: who,
  scopes: [],
  tokenId: null,
  isBootstrap: false,
  isSession: false,
  expiresAt: null,
});

const refuseLargeBody = (): never => {
  throw problem("BODY_TOO_LARGE", `${MAX_BODY_BYTES / 2 ** 10} KiB`);
};
