import type { MiddlewareHandler } from "hono";
import { matchedRoutes } from "hono/route";
import type { Metrics } from "./metrics.ts";

/** Measures requests until their answers begin, by route: what was asked for, not by whom or of what. */
export const measureHttp =
  ({ http }: Metrics): MiddlewareHandler =>
  async (c, next) => {
    const began = performance.now();
    await next();
    const route = matchedRoutes(c).findLast(({ method }) => method === c.req.method)?.path;
    http.observe(
      // Of a name that is no method's, anybody could send any number.
      { method: route ? c.req.method : "other", route: route ?? "none", status: c.res.status },
      (performance.now() - began) / 1_000,
    );
  };
