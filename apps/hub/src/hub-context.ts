import { OpenAPIHono } from "@hono/zod-openapi";
import type { Queue } from "@loom/queue";
import type { Log } from "@loom/worker";
import type { AnyWorkflow } from "@loom/workflow";
import type { Context } from "hono";
import type { Identity } from "./access/identity.ts";
import type { TokenMemory } from "./access/token-memory.ts";
import type { EventFeed } from "./events/event-feed.ts";
import { invalidRequest } from "./invalid-request.ts";
import type { Mesh } from "./mesh/mesh.ts";
import type { Doorbells } from "./ring-doorbells.ts";

/** What middleware leaves for handlers. */
export interface HubEnv {
  Variables: {
    requestId: string;
    identity: Identity;
    /** What is asked, in a word: the operation's id. */
    action: string;
    /** What the request started, for the log. */
    made?: { runId: string } | { jobIds: number[] };
    /** The request's own place in a trace; null where nobody traces. */
    traceparent: string | null;
  };
}
export type HubContext = Context<HubEnv>;

/** What routes work with. */
export interface RouteDeps {
  queue: Queue;
  workflows: ReadonlyMap<string, AnyWorkflow>;
  log: Log;
  /** The hub's own node, where it has one. */
  node: string | undefined;
  /** The node that is preferred for steps that neither require nor prefer anything. */
  defaultHost: string | undefined;
  /** The tailnet that the hub is in, where it is asked. */
  mesh: Mesh | undefined;
  /** Rings a node's doorbell and waits for its answer; left out, none is rung. */
  tryRing: Doorbells["tryRing"] | undefined;
  tokens: TokenMemory;
  feed: EventFeed;
  /** Called when there may be something to place, or to claim: by these nodes, where steps are pinned. */
  onJobsAdded: (pinnedTo?: readonly string[]) => void;
}

/** A part of the API; what a schema refuses is answered with 422. */
export const createRouter = () => new OpenAPIHono<HubEnv>({ defaultHook: invalidRequest });
