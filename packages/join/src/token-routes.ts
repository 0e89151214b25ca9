import { randomBytes } from "node:crypto";
import type { JoinToken } from "@loom/client";
import { joinTokenRequest, joinTokenSchema, newJoinTokenSchema } from "@loom/client/schemas";
import {
  answer,
  audited,
  body,
  createRouter,
  problem,
  type RequestContext,
  route,
  withIsoDates,
} from "@loom/http";
import { digestOf, type JoinToken as QueueJoinToken } from "@loom/queue";
import { EXEC_CAPABILITY } from "@loom/workflow";
import { z } from "zod";
import type { JoinHub } from "./join-context.ts";
import { originOf } from "./place.ts";

const MINUTE_MS = 60_000;
const LIFETIME_MINUTES = 15;

const list = route("listJoinTokens", "admin", {
  method: "get",
  path: "/",
  summary: "Every join token that is still known, newest first, with the nodes that joined with it",
  responses: {
    200: answer("The tokens, without their secret", z.object({ data: z.array(joinTokenSchema) })),
  },
});

const create = route("createJoinToken", "admin", {
  method: "post",
  path: "/",
  summary:
    "Make a token with which one machine may join; its secret is in this answer and nowhere else",
  request: { body: body(joinTokenRequest) },
  responses: {
    201: answer("The token, and the line to paste into the machine's terminal", newJoinTokenSchema),
  },
});

const revoke = route("revokeJoinToken", "admin", {
  method: "delete",
  path: "/{id}",
  summary: "Revoke a join token; a node that joined with it keeps its key",
  request: { params: z.object({ id: z.string() }) },
  responses: { 200: answer("The token", joinTokenSchema) },
  fails: [404],
});

export function joinTokenRoutes({ queue, join }: JoinHub) {
  const app = createRouter();

  app.openapi(list, async (c) => {
    const all = await queue.listJoinTokens();
    return c.json({ data: all.map(toToken) }, 200);
  });

  app.openapi(create, async (c) => {
    const { node, mayOffer = [], expiresInMinutes = LIFETIME_MINUTES } = c.req.valid("json");
    const token = `loomj_${randomBytes(32).toString("base64url")}`;
    const made = await audited(c, queue).createJoinToken({
      digest: digestOf(token),
      mayOffer,
      lifetimeMs: expiresInMinutes * MINUTE_MS,
      createdBy: c.get("identity").who,
      ...(node !== undefined && { node }),
    });
    return c.json(
      { ...toToken(made), token, line: await lineFor(c, { token, node, mayOffer }) },
      201,
    );
  });

  app.openapi(revoke, async (c) => {
    const { id } = c.req.valid("param");
    const revoked = await audited(c, queue).revokeJoinToken(id);
    if (revoked) return c.json(toToken(revoked), 200);
    throw problem("JOIN_TOKEN_NOT_FOUND", id);
  });

  /**
   * The line to paste. It names the hub by its address in the tailnet, where it listens there, because a short name
   * means another machine elsewhere.
   */
  async function lineFor(
    c: RequestContext,
    {
      token,
      node,
      mayOffer,
    }: { token: string; node: string | undefined; mayOffer: readonly string[] },
  ): Promise<string> {
    const { protocol, hostname, port } = new URL(originOf(c));
    const base =
      (await join.tailnetUrl()) ?? `${protocol}//${hostname}${port === "" ? "" : `:${port}`}`;
    const name = node === undefined ? "" : `LOOM_NODE_NAME=${node} `;
    // Who may run commands is the owner's choice, and whoever pastes the line reads it there.
    const exec = mayOffer.includes(EXEC_CAPABILITY) ? "LOOM_EXEC=any " : "";
    return `curl -fsS ${base}/join | ${name}${exec}LOOM_JOIN_TOKEN=${token} sh`;
  }

  return app;
}

const toToken = ({ joined, ...token }: QueueJoinToken): JoinToken => ({
  ...withIsoDates(token),
  joined: joined.map(({ node, at }) => withIsoDates({ node, at })),
});
