import { type ApiToken, digestOf, isTokenShaped, type Scope } from "@loom/queue";
import type { Context } from "hono";
import { problem } from "../problem.ts";
import {
  hostNameOf,
  isForwarded,
  isFromHere,
  isFromOwnPage,
  isLoopback,
  type Peer,
  peerOf,
} from "./origin.ts";
import { type HubIdentity, readSessionCookie } from "./session-cookie.ts";
import { fingerprintOf, isSameSecret, type TokenMemory } from "./tokens.ts";

/** The caller of a request and what it may do. */
export interface Identity {
  /** The name for logs and the audit: `token ci`, `session of token ci`, `ada@example.org`. */
  who: string;
  /** The key of rate limits: the token, person or machine behind the request, also through a session. */
  subject: string;
  scopes: readonly Scope[];
  /** The token or session in the database; null for any other identity. */
  tokenId: string | null;
  /** Whether it is the bootstrap token of the hub's environment. */
  isBootstrap: boolean;
  isSession: boolean;
  expiresAt: Date | null;
  /** Set where nothing but the database says that its token has these scopes. */
  isUnproven?: true;
}

/** Whether an identity may do what needs a scope: `admin` may do everything. */
export const allows = ({ scopes }: Pick<Identity, "scopes">, scope: Scope): boolean =>
  scopes.includes(scope) || scopes.includes("admin");

/** The settings and services by which the hub identifies a caller. */
export interface AuthenticateDeps extends HubIdentity {
  /** The bootstrap token of the environment: it may do everything. */
  token: string | undefined;
  tokens: TokenMemory;
  /** Whether a hub made this token for these scopes. Without it, no token is asked for a proof. */
  tokenProof?: { holds(token: string, scopes: readonly Scope[]): boolean } | undefined;
  tailnet?: ((peer: Peer | undefined) => Promise<Identity | undefined>) | undefined;
  /** Called before the database is asked for a token that was not valid a moment ago; refuses by throwing. */
  beforeLookUp?: () => void;
}

/**
 * Identifies the caller of a request.
 *
 * A bearer token proves itself: no browser adds one to a request of another site. A browser sends a session's
 * cookie and a tailnet identity along with every request, so those requests must come from the hub's own
 * pages (or, in the tailnet, from a program). A hub without a token lets in every request to a loopback host
 * that no other site's page made. Behind a proxy that would be everybody, so forwarded requests are refused.
 *
 * @throws ProblemError `UNAUTHORIZED`, `CROSS_SITE`, `FORBIDDEN`, `IDENTITY_UNAVAILABLE`.
 */
export async function authenticate(c: Context, deps: AuthenticateDeps): Promise<Identity> {
  const authorization = c.req.header("authorization");
  if (authorization !== undefined && authorization !== "") return byBearer(authorization, deps);

  const session = await readSessionCookie(c, deps);
  if (session !== undefined) {
    const isRead = c.req.method === "GET" || c.req.method === "HEAD";
    if (!(isRead ? isFromHere(c) : isFromOwnPage(c))) throw problem("CROSS_SITE");
    const found = await lookUp(session, deps);
    if (!found?.isSession || !isStillValid(found, deps)) throw problem("UNAUTHORIZED", "session");
    return toIdentity(found, session, deps);
  }

  const person = await deps.tailnet?.(peerOf(c));
  if (person) {
    if (!isFromHere(c)) throw problem("CROSS_SITE");
    return person;
  }
  if (deps.token !== undefined) throw problem("UNAUTHORIZED", "missing");
  return asThisMachine(c);
}

/** Whether a session was opened by a database token, or by the bootstrap token that is still in force. */
const isStillValid = ({ root, bootstrap }: ApiToken, { token }: AuthenticateDeps): boolean =>
  root !== null || (token !== undefined && bootstrap === fingerprintOf(token));

async function byBearer(authorization: string, deps: AuthenticateDeps): Promise<Identity> {
  const { token } = deps;
  const [, given] = /^bearer +(\S+)$/i.exec(authorization) ?? [];
  if (given === undefined) throw problem("UNAUTHORIZED", "malformed");
  if (token !== undefined && isSameSecret(given, token)) {
    return { ...identityOf(BOOTSTRAP, ["admin"]), isBootstrap: true };
  }
  const found = await lookUp(given, deps);
  if (!found || found.isSession) throw problem("UNAUTHORIZED", "unknown");
  return toIdentity(found, given, deps);
}

const lookUp = async (
  given: string,
  { tokens, beforeLookUp }: AuthenticateDeps,
): Promise<ApiToken | null> =>
  isTokenShaped(given) ? tokens.find(digestOf(given), beforeLookUp) : null;

const BOOTSTRAP = "bootstrap token";

const toIdentity = (
  { id, name, root, scopes, isSession, expiresAt }: ApiToken,
  token: string,
  { tokenProof }: AuthenticateDeps,
): Identity => ({
  who: isSession ? name : `token ${name}`,
  subject: root === null ? BOOTSTRAP : `token ${root}`,
  scopes,
  tokenId: id,
  isBootstrap: false,
  isSession,
  expiresAt,
  ...(tokenProof?.holds(token, scopes) === false && { isUnproven: true }),
});

/** A caller without a token in the database: the bootstrap token, this machine, somebody of the tailnet. */
export const identityOf = (who: string, allowed: readonly Scope[]): Identity => ({
  who,
  subject: who,
  scopes: allowed,
  tokenId: null,
  isBootstrap: false,
  isSession: false,
  expiresAt: null,
});

function asThisMachine(c: Context): Identity {
  if (isForwarded(c) || !isLoopback(hostNameOf(c.req.url)) || !isFromHere(c)) {
    throw problem("FORBIDDEN");
  }
  return identityOf("this machine", ["admin"]);
}
