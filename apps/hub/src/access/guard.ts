import type { Log } from "@loom/worker";
import type { MiddlewareHandler } from "hono";
import type { HubEnv } from "../hub-context.ts";
import { authenticate } from "./authenticate.ts";
import { peerOf } from "./peer.ts";
import { createRateLimiter, type RateLimit } from "./rate-limit.ts";
import { createTailnetGate, type TailnetAccess } from "./tailnet.ts";
import type { TokenMemory } from "./token-memory.ts";

export interface GuardOptions {
  token: string | undefined;
  tailnet?: TailnetAccess | undefined;
  /** Of one credential, and of one address that brings none that is good. */
  rateLimit?: RateLimit | undefined;
}

const RATE_LIMIT: RateLimit = { burst: 600, perSecond: 100 };

/**
 * Lets in who may ask something, and not too often: knows who it is from here on, and writes a
 * line for everything that is changed.
 */
export function guard(
  { token, tailnet, rateLimit = RATE_LIMIT }: GuardOptions,
  { tokens, log }: { tokens: TokenMemory; log: Log },
): MiddlewareHandler<HubEnv> {
  const gate = tailnet && createTailnetGate(tailnet, log);
  const count = createRateLimiter(rateLimit);
  return async (c, next) => {
    const identity = await authenticate(c, { token, tokens, tailnet: gate }).catch(
      (error: unknown) => {
        count(c, `address ${peerOf(c)?.remoteAddress}`);
        throw error;
      },
    );
    count(c, identity.who);
    c.set("identity", identity);
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
