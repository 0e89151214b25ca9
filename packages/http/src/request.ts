import type { Context } from "hono";
import type { Identity } from "./access/authenticate.ts";

/** What middleware stores for the handlers of a request. */
export interface HubEnv {
  Variables: {
    requestId: string;
    identity: Identity;
    /** Whether the caller would still be let in; asked repeatedly while a stream is open. */
    isStillIn: () => Promise<boolean>;
    /** The id of the operation. */
    action: string;
    /** What the request started, for the log. */
    made?: { runId: string } | { jobIds: number[] };
    /** The request's own place in a trace; null without tracing. */
    traceparent: string | null;
  };
}
export type RequestContext = Context<HubEnv>;
