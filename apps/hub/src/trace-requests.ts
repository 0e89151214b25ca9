import type { HubEnv, RequestContext } from "@loom/http";
import { isTraceparent, type Tracing } from "@loom/worker";
import type { MiddlewareHandler } from "hono";

/**
 * Traces every request: in the trace that its `traceparent` names, else in a new one. The jobs that it starts belong
 * to the same trace, on every machine.
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
      // A refused request has no action.
      const action = c.get("action");
      if (action !== undefined) span.rename(`${c.req.method} ${action}`);
    });
  };

/** The trace that a request passes on to the jobs that it starts. */
export function traceOf(c: RequestContext): { traceparent?: string } {
  const traceparent = c.get("traceparent");
  return traceparent === null ? {} : { traceparent };
}
