import { isIPv6 } from "node:net";
import { QueueUnavailableError } from "@loom/queue";
import type { Log } from "@loom/worker";
import type { Context, MiddlewareHandler } from "hono";
import type { HubEnv } from "../request.ts";
import { type AuthenticateDeps, authenticate, type Identity } from "./authenticate.ts";
import { peerOf } from "./origin.ts";
import { createRateLimiter, type RateLimit } from "./rate-limit.ts";
import { createTailnetGate, type TailnetAccess } from "./tailnet.ts";

const RATE_LIMIT: RateLimit = { burst: 600, perSecond: 100 };

/** Who may call, and how often. */
export interface GuardOptions
  extends Pick<AuthenticateDeps, "token" | "tokens" | "tokenProof" | "databaseId"> {
  /** Lets the tailnet's people and machines in without a token. */
  tailnet: TailnetAccess | undefined;
  /** Limit of one credential; default 100 requests a second, and 600 at once. */
  rateLimit: RateLimit | undefined;
  log: Log;
}

/**
 * Identifies the caller of every request, limits its rate, and logs every change.
 *
 * A token that is not known to be valid counts against its address before the database is asked for it, so
 * strangers cost the database no more than the limit. An identified caller counts as the token or person behind
 * it: a new session has no new allowance.
 */
export function guard({
  token,
  tokens,
  tokenProof,
  tailnet,
  databaseId,
  rateLimit = RATE_LIMIT,
  log,
}: GuardOptions): MiddlewareHandler<HubEnv> {
  const gate = tailnet && createTailnetGate(tailnet, log);
  const count = createRateLimiter(rateLimit);
  const deps = { token, tokens, tokenProof, tailnet: gate, databaseId };
  return async (c, next) => {
    let isCounted = false;
    const countAddress = () => {
      isCounted = true;
      count(c, addressOf(c));
    };
    const identity = await authenticate(c, { ...deps, beforeLookUp: countAddress }).catch(
      (error: unknown) => {
        if (!isCounted) countAddress();
        throw error;
      },
    );
    count(c, identity.subject);
    c.set("identity", identity);
    c.set("isStillIn", () => isSame(identity, () => authenticate(c, deps)));
    await next();
    const action = c.get("action");
    if (action !== undefined && c.req.method !== "GET" && c.res.ok) {
      const { who } = identity;
      const { path } = c.req;
      const requestId = c.get("requestId");
      const { status } = c.res;
      log.info({ who, action, path, status, requestId, ...c.get("made") }, "request done");
    }
  };
}

/** The key of an address. A machine can use any address of its public IPv6 /64, so those share a key. */
export function addressOf(c: Context): string {
  const { remoteAddress = "unknown" } = peerOf(c) ?? {};
  const isPublicV6 = isIPv6(remoteAddress) && /^[23]/.test(remoteAddress);
  return `address ${isPublicV6 ? networkOf(remoteAddress) : remoteAddress}`;
}

function networkOf(address: string): string {
  const [head = "", tail] = address.split("::", 2);
  const groups = head.split(":");
  const missing = tail === undefined ? 0 : 8 - groups.length - tail.split(":").length;
  return [...groups, ...Array<string>(Math.max(0, missing)).fill("0")].slice(0, 4).join(":");
}

/** Whether the caller would be let in again now, as the same identity with the same scopes. */
async function isSame(before: Identity, again: () => Promise<Identity>): Promise<boolean> {
  try {
    const now = await again();
    return now.who === before.who && now.scopes.join() === before.scopes.join();
  } catch (error) {
    // While the database is away a token is neither valid nor invalid, and a stream has nothing new to send.
    return error instanceof QueueUnavailableError;
  }
}
