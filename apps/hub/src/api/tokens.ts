import type { OpenSession, Token } from "@loom/client";
import { newTokenSchema, openSessionSchema, tokenRequest, tokenSchema } from "@loom/client/schemas";
import {
  answer,
  audited,
  body,
  createRouter,
  fingerprintOf,
  problem,
  route,
  withIsoDates,
} from "@loom/http";
import { type ApiToken, digestOf, makeToken } from "@loom/queue";
import { z } from "zod";
import type { HubContext } from "../hub-context.ts";

const DAY_MS = 86_400_000;

const list = route("listTokens", "admin", {
  method: "get",
  path: "/",
  summary: "Every token, newest first, including revoked ones",
  responses: {
    200: answer("The tokens, without their secrets", z.object({ data: z.array(tokenSchema) })),
  },
});

const listSessions = route("listSessions", "admin", {
  method: "get",
  path: "/sessions",
  summary: "Every open session, newest first, with the token that opened it",
  description: "`DELETE /api/loom/tokens/{id}` ends a session too.",
  responses: { 200: answer("The sessions", z.object({ data: z.array(openSessionSchema) })) },
});

const create = route("createToken", "admin", {
  method: "post",
  path: "/",
  summary: "Create a token; only this answer contains its secret",
  request: { body: body(tokenRequest) },
  responses: { 201: answer("The token", newTokenSchema) },
  fails: [409],
});

const revoke = route("revokeToken", "admin", {
  method: "delete",
  path: "/{id}",
  summary: "Revoke a token or a session, and the sessions that it opened",
  description:
    "On this hub it ends at once, with its streams; on other hubs within 10 seconds. Tokens that it created stay valid.",
  request: { params: z.object({ id: z.string() }) },
  responses: { 200: answer("The token", tokenSchema) },
  fails: [404],
});

export function tokenRoutes({ queue, tokens, tokenProof, token: bootstrap }: HubContext) {
  const app = createRouter();

  app.openapi(listSessions, async (c) => {
    const all = await queue.listSessions();
    // A session of another bootstrap token is not valid here.
    const valid = all.filter(
      (session) =>
        session.root !== null ||
        (bootstrap !== undefined && session.bootstrap === fingerprintOf(bootstrap)),
    );
    return c.json({ data: valid.map(toOpenSession) }, 200);
  });

  app.openapi(list, async (c) => {
    const all = await queue.listTokens();
    return c.json({ data: all.map(toToken) }, 200);
  });

  app.openapi(create, async (c) => {
    const { name, scopes, expiresInDays } = c.req.valid("json");
    // What has no proof cannot make one.
    const { isUnproven } = c.get("identity");
    const token = isUnproven ? makeToken() : tokenProof.make(scopes);
    const made = await audited(c, queue).createToken({
      name,
      digest: digestOf(token),
      scopes,
      createdBy: c.get("identity").who,
      ...(expiresInDays !== undefined && { lifetimeMs: expiresInDays * DAY_MS }),
    });
    return c.json({ ...toToken(made), token }, 201);
  });

  app.openapi(revoke, async (c) => {
    const { id } = c.req.valid("param");
    const revoked = await audited(c, queue).revokeToken(id);
    tokens.clear();
    if (!revoked) throw problem("TOKEN_NOT_FOUND", id);
    return c.json(toToken(revoked), 200);
  });

  return app;
}

const toToken = ({ isSession: _, root: __, bootstrap: ___, ...token }: ApiToken): Token =>
  withIsoDates(token);

const toOpenSession = ({
  id,
  name,
  scopes,
  root,
  createdAt,
  expiresAt,
  lastUsedAt,
}: ApiToken): OpenSession =>
  withIsoDates({ id, name, scopes, token: root, createdAt, expiresAt, lastUsedAt });
