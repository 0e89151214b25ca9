import { isTraceparent, type Tracing } from "@loom/worker";
import type { MiddlewareHandler } from "hono";
import type { HubContext, HubEnv } from "./hub-context.ts";

/**
 * Makes every request a span: of the trace that its `traceparent` names, else of one that begins here.
 * What it starts is a part of it, on whichever machine.
 */
export const traceRequests =
  (tracing: Tracing): MiddlewareHandler<HubEnv> =>
  (c, next) => {
    const given = c.req.header("traceparent") ?? "";
    const parent = isTraceparent(given) ? given : null;
    const requestId = c.get("requestId");
    return tracing.span(c.req.method, { parent, attributes: { requestId } }, async (span) => {
      c.set("traceparent", span.traceparent);
      await next();
      span.set({ "http.request.method": c.req.method, "http.response.status_code": c.res.status });
      // Who was refused did not come to ask anything.
      const action = c.get("action");
      if (action !== undefined) span.rename(`${c.req.method} ${action}`);
    });
  };

/** What a request passes on to what it starts. */
export function traceOf(c: HubContext): { traceparent?: string } {
  const traceparent = c.get("traceparent");
  return traceparent === null ? {} : { traceparent };
}
