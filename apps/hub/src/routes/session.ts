import { createRoute } from "@hono/zod-openapi";
import { deleteCookie, setCookie } from "hono/cookie";
import { digestOf, makeToken } from "../access/api-token.ts";
import { SESSION_COOKIE } from "../access/authenticate.ts";
import { isFromHere } from "../access/same-origin.ts";
import { createRouter, type RouteDeps } from "../hub-context.ts";
import { answer } from "../json-content.ts";
import { actFor, commonProblems, operation } from "../operation.ts";
import { ProblemError } from "../problem.ts";
import { sessionView } from "../views/session.ts";

/** How long a browser stays logged in. */
const SESSION_MS = 12 * 3_600_000;

const show = createRoute({
  ...operation("getSession", "read"),
  method: "get",
  path: "/",
  summary: "Who asks, and what that allows",
  responses: { 200: answer("The caller", sessionView), ...commonProblems },
});

const open = createRoute({
  ...operation("openSession", "read"),
  method: "post",
  path: "/",
  summary: "Log a browser in: a cookie in place of the token that is sent",
  description:
    "Send the token as `Authorization`. The cookie is for 12 hours, out of reach of scripts, and never sent from another site's page; it allows what the token allows, and ends with it.",
  responses: { 201: answer("The session", sessionView), ...commonProblems },
});

const close = createRoute({
  ...operation("closeSession", "read"),
  method: "delete",
  path: "/",
  summary: "Log a browser out",
  responses: { 204: { description: "The cookie is good for nothing any more" }, ...commonProblems },
});

export function sessionRoutes({ queue, tokens }: RouteDeps) {
  const app = createRouter();

  app.openapi(show, (c) => {
    const { who, scopes, expiresAt } = c.get("identity");
    return c.json({ who, scopes: [...scopes], expiresAt: expiresAt?.toISOString() ?? null }, 200);
  });

  app.openapi(open, async (c) => {
    // Another site could log a browser in as somebody else, and watch what is done.
    if (!isFromHere(c)) throw notFromHere();
    const { who, scopes, tokenId } = c.get("identity");
    const token = makeToken();
    const session = await actFor(c, queue).createToken({
      name: `session of ${who}`.slice(0, 100),
      digest: digestOf(token),
      scopes,
      createdBy: who,
      lifetimeMs: SESSION_MS,
      session: { parent: tokenId },
    });
    setCookie(c, SESSION_COOKIE, token, {
      path: "/",
      httpOnly: true,
      sameSite: "Strict",
      secure: new URL(c.req.url).protocol === "https:",
      maxAge: SESSION_MS / 1_000,
    });
    const expiresAt = session.expiresAt?.toISOString() ?? null;
    return c.json({ who: session.name, scopes: session.scopes, expiresAt }, 201);
  });

  app.openapi(close, async (c) => {
    const { tokenId, isSession } = c.get("identity");
    if (isSession && tokenId !== null) await actFor(c, queue).revokeToken(tokenId);
    tokens.clear();
    deleteCookie(c, SESSION_COOKIE, { path: "/" });
    return c.body(null, 204);
  });

  return app;
}

const notFromHere = (): ProblemError =>
  new ProblemError({
    title: "Forbidden",
    status: 403,
    code: "CROSS_SITE",
    detail: "this request does not come from a page of the hub",
  });
