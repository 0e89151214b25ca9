import type { ApiToken } from "@loom/queue";
import type { Context } from "hono";
import { getCookie } from "hono/cookie";
import { isLoopback } from "../loopback.ts";
import { ProblemError } from "../problem.ts";
import { digestOf, isSameSecret, isTokenShaped } from "./api-token.ts";
import type { Identity } from "./identity.ts";
import { hostNameOf } from "./known-host.ts";
import { type Peer, peerOf } from "./peer.ts";
import { isFromHere, isFromOwnPage } from "./same-origin.ts";
import type { TokenMemory } from "./token-memory.ts";

export const SESSION_COOKIE = "loom_session";

/** What tells a hub who asks. */
export interface AuthenticateDeps {
  /** The bootstrap token of the environment: it may do everything. */
  token: string | undefined;
  tokens: TokenMemory;
  tailnet?: ((peer: Peer | undefined) => Promise<Identity | undefined>) | undefined;
}

const unauthorized = (detail: string): ProblemError =>
  new ProblemError({
    title: "Unauthorized",
    status: 401,
    code: "UNAUTHORIZED",
    detail,
    hint: "send a token: Authorization: Bearer <token>",
  });

const crossSite = (): ProblemError =>
  new ProblemError({
    title: "Forbidden",
    status: 403,
    code: "CROSS_SITE",
    detail: "this request does not come from a page of the hub",
    hint: "a program sends a token: Authorization: Bearer <token>",
  });

/**
 * Finds out who makes a request.
 *
 * A bearer token proves itself: no browser adds one to somebody else's request. A session's cookie and an
 * identity of the tailnet go with whatever a browser sends, so those have to come from the hub's own pages
 * (or, of the tailnet, from no browser). Without a token of its own, a hub on loopback lets in
 * who names a loopback host and is no other site's page; behind a proxy that would be everybody,
 * so what was forwarded is refused.
 *
 * @throws ProblemError `UNAUTHORIZED`, `CROSS_SITE`, `FORBIDDEN`, `IDENTITY_UNAVAILABLE`.
 */
export async function authenticate(c: Context, deps: AuthenticateDeps): Promise<Identity> {
  const authorization = c.req.header("authorization");
  if (authorization !== undefined && authorization !== "") return byBearer(authorization, deps);

  const session = getCookie(c, SESSION_COOKIE);
  if (session !== undefined) {
    const isRead = c.req.method === "GET" || c.req.method === "HEAD";
    if (!(isRead ? isFromHere(c) : isFromOwnPage(c))) throw crossSite();
    const found = await lookUp(session, deps.tokens);
    if (!found?.isSession) throw unauthorized("the session is over; log in again");
    return toIdentity(found);
  }

  const person = await deps.tailnet?.(peerOf(c));
  if (person) {
    if (!isFromHere(c)) throw crossSite();
    return person;
  }
  if (deps.token !== undefined) throw unauthorized("this hub wants a token");
  return byPlace(c);
}

async function byBearer(authorization: string, { token, tokens }: AuthenticateDeps) {
  const [, given] = /^bearer +(\S+)$/i.exec(authorization) ?? [];
  if (given === undefined) throw unauthorized("the Authorization header is not a bearer token");
  if (token !== undefined && isSameSecret(given, token)) {
    return administrator("bootstrap token");
  }
  const found = await lookUp(given, tokens);
  if (!found || found.isSession) throw unauthorized("the token is unknown, expired or revoked");
  return toIdentity(found);
}

const lookUp = async (given: string, tokens: TokenMemory): Promise<ApiToken | null> =>
  isTokenShaped(given) ? tokens.find(digestOf(given)) : null;

const toIdentity = ({ id, name, scopes, isSession, expiresAt }: ApiToken): Identity => ({
  who: isSession ? name : `token ${name}`,
  scopes,
  tokenId: id,
  isSession,
  expiresAt,
});

const administrator = (who: string): Identity => ({
  who,
  scopes: ["admin"],
  tokenId: null,
  isSession: false,
  expiresAt: null,
});

const FORWARDED = ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip"];

function byPlace(c: Context): Identity {
  const isForwarded = FORWARDED.some((name) => c.req.header(name) !== undefined);
  if (isForwarded || !isLoopback(hostNameOf(c.req.url)) || !isFromHere(c)) {
    throw new ProblemError({
      title: "Forbidden",
      status: 403,
      code: "FORBIDDEN",
      detail: "this hub has no token and serves programs of this machine only",
      hint: "set LOOM_TOKEN on the hub, and send it",
    });
  }
  return administrator("this machine");
}
