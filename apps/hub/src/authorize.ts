import { createHash, timingSafeEqual } from "node:crypto";
import type { MiddlewareHandler } from "hono";
import { HTTPException } from "hono/http-exception";

const digest = (text: string): Buffer => createHash("sha256").update(text).digest();

/**
 * Lets requests in that carry the hub's token.
 *
 * Digests are compared, in constant time: neither the token's length nor how much of
 * it was right can be measured. Without a token (a hub on loopback only) a request
 * has to name a loopback host and come from no other site, so that no page in a
 * browser on this machine can drive the hub.
 */
export function authorize(token: string | undefined): MiddlewareHandler {
  if (token === undefined) return localOnly;
  const expected = digest(token);
  return async (c, next) => {
    const [scheme, given, ...rest] = (c.req.header("authorization") ?? "").split(" ");
    const isToken = scheme?.toLowerCase() === "bearer" && given !== undefined && rest.length === 0;
    if (!isToken || !timingSafeEqual(digest(given), expected)) {
      throw new HTTPException(401, {
        message: isToken
          ? "the token is not this hub's"
          : "send the hub's token: Authorization: Bearer <LOOM_TOKEN>",
      });
    }
    await next();
  };
}

const LOOPBACK_HOST = /^(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/;

const localOnly: MiddlewareHandler = async (c, next) => {
  const host = c.req.header("host") ?? "";
  const origin = c.req.header("origin");
  const isSameSite = origin === undefined || origin.replace(/^https?:\/\//, "") === host;
  if (!LOOPBACK_HOST.test(host) || !isSameSite) {
    throw new HTTPException(403, { message: "this hub has no token and serves this machine only" });
  }
  await next();
};
