import { createHash, timingSafeEqual } from "node:crypto";
import type { MiddlewareHandler } from "hono";
import { HTTPException } from "hono/http-exception";
import { isLoopback } from "./loopback.ts";

/**
 * Lets requests in that carry the hub's token.
 *
 * Digests are compared, in constant time: neither the token's length nor how much of
 * it was right can be measured. Without a token (a hub on loopback only) a request
 * has to name a loopback host and come from no other site, so that no page in a
 * browser on this machine can drive the hub.
 */
export const authorize = (token: string | undefined): MiddlewareHandler =>
  token === undefined ? localOnly : bearerOnly(token);

const digest = (text: string): Buffer => createHash("sha256").update(text).digest();

function bearerOnly(token: string): MiddlewareHandler {
  const expected = digest(token);
  return async (c, next) => {
    const [, given] = /^bearer +(\S+)$/i.exec(c.req.header("authorization") ?? "") ?? [];
    if (given === undefined) {
      throw new HTTPException(401, {
        message: "send the hub's token: Authorization: Bearer <LOOM_TOKEN>",
      });
    }
    if (!timingSafeEqual(digest(given), expected)) {
      throw new HTTPException(401, { message: "the token is not this hub's" });
    }
    await next();
  };
}

const localOnly: MiddlewareHandler = async (c, next) => {
  const host = c.req.header("host") ?? "";
  const origin = c.req.header("origin");
  const site = c.req.header("sec-fetch-site");
  const isLocal =
    isLoopback(hostNameOf(host)) &&
    (origin === undefined || origin === `http://${host}`) &&
    // Another port of this machine is "same-site", and somebody else's page all the same.
    (site === undefined || site === "same-origin" || site === "none");
  if (!isLocal) {
    throw new HTTPException(403, { message: "this hub has no token and serves this machine only" });
  }
  await next();
};

/** `localhost` of `localhost:3000`, `::1` of `[::1]:3000`. */
const hostNameOf = (host: string): string => host.replace(/:\d+$/, "").replace(/^\[(.*)\]$/, "$1");
