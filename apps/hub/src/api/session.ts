import { sessionSchema } from "@loom/client/schemas";
import {
  answer,
  audited,
  createRouter,
  deleteSessionCookie,
  fingerprintOf,
  type Identity,
  isFromHere,
  problem,
  route,
  writeSessionCookie,
} from "@loom/http";
import { digestOf, makeToken } from "@loom/queue";
import type { HubContext } from "../hub-context.ts";

/** How long a browser stays logged in. */
const SESSION_MS = 12 * 3_600_000;

const show = route("getSession", "read", {
  method: "get",
  path: "/",
  summary: "The caller and its scopes",
  responses: { 200: answer("The caller", sessionSchema) },
});

const open = route("openSession", "read", {
  method: "post",
  path: "/",
  summary: "Log a browser in: exchange a token for a cookie",
  description:
    "Send the token as `Authorization`. The cookie is valid for 12 hours. Scripts cannot read it, and browsers do not send it from pages of other sites. The session has the scopes of the token and ends with it. A session may open another one, which ends with it. A caller who needs no token needs no session.",
  responses: { 201: answer("The session", sessionSchema) },
  fails: [422],
});

const close = route("closeSession", "read", {
  method: "delete",
  path: "/",
  summary: "Log a browser out",
  responses: { 204: { description: "The cookie is no longer valid" } },
});

export function sessionRoutes({
  queue,
  tokens,
  tokenProof,
  token: bootstrap,
  databaseId,
}: HubContext) {
  const app = createRouter();

  app.openapi(show, (c) => {
    const { who, scopes, expiresAt } = c.get("identity");
    return c.json({ who, scopes: [...scopes], expiresAt: expiresAt?.toISOString() ?? null }, 200);
  });

  app.openapi(open, async (c) => {
    // Otherwise another site could log a browser in as somebody else, and watch what that person does.
    if (!isFromHere(c)) throw problem("CROSS_SITE");
    const { who, subject, scopes, isUnproven, ...identity } = c.get("identity");
    const token = isUnproven ? makeToken() : tokenProof.make(scopes);
    const session = await audited(c, queue).createToken({
      name: `session of ${subject}`.slice(0, 100),
      digest: digestOf(token),
      scopes,
      createdBy: who,
      lifetimeMs: SESSION_MS,
      session: openerOf(identity, bootstrap),
    });
    const { createdAt } = session;
    const lifetimeMs = session.expiresAt ? session.expiresAt.getTime() - createdAt.getTime() : 0;
    await writeSessionCookie(c, { databaseId }, { secret: token, maxAgeMs: lifetimeMs });
    const expiresAt = session.expiresAt?.toISOString() ?? null;
    return c.json({ who: session.name, scopes: session.scopes, expiresAt }, 201);
  });

  app.openapi(close, async (c) => {
    const { tokenId, isSession } = c.get("identity");
    if (isSession && tokenId !== null) await audited(c, queue).revokeToken(tokenId);
    tokens.clear();
    await deleteSessionCookie(c, { databaseId });
    return c.body(null, 204);
  });

  return app;
}

/** The credential that opens a session, and whose end ends it. */
function openerOf(
  { tokenId, isBootstrap }: Pick<Identity, "tokenId" | "isBootstrap">,
  token: string | undefined,
) {
  if (tokenId !== null) return { parent: tokenId };
  if (isBootstrap && token !== undefined) return { bootstrap: fingerprintOf(token) };
  throw problem("NO_TOKEN");
}
