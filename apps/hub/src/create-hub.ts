import { OpenAPIHono } from "@hono/zod-openapi";
import type { Queue } from "@loom/queue";
import { type Log, type Tracing, untraced } from "@loom/worker";
import type { AnyWorkflow } from "@loom/workflow";
import type { Context } from "hono";
import { bodyLimit } from "hono/body-limit";
import { methodNotAllowed } from "hono/method-not-allowed";
import { requestId } from "hono/request-id";
import { guard } from "./access/guard.ts";
import { knownHost } from "./access/known-host.ts";
import type { RateLimit } from "./access/rate-limit.ts";
import type { TailnetAccess } from "./access/tailnet.ts";
import { createTokenMemory } from "./access/token-memory.ts";
import { serveDashboard } from "./dashboard.ts";
import { createEventFeed } from "./events/event-feed.ts";
import { createStreamGate } from "./events/event-stream.ts";
import type { HubEnv, RouteDeps } from "./hub-context.ts";
import type { Mesh } from "./mesh/mesh.ts";
import { measureHttp } from "./metrics/measure-http.ts";
import { createMetrics, type Metrics } from "./metrics/metrics.ts";
import { ProblemError, respondProblem } from "./problem.ts";
import { referenceRoutes } from "./reference/routes.ts";
import type { Doorbells } from "./ring-doorbells.ts";
import { auditRoutes } from "./routes/audit.ts";
import { doctorRoutes } from "./routes/doctor.ts";
import { explainRoutes } from "./routes/explain.ts";
import { healthRoutes } from "./routes/health.ts";
import { jobLogRoutes } from "./routes/job-logs.ts";
import { jobRoutes } from "./routes/jobs.ts";
import { meshRoutes } from "./routes/mesh.ts";
import { metricsRoutes } from "./routes/metrics.ts";
import { newJobRoutes } from "./routes/new-jobs.ts";
import { nodeRoutes } from "./routes/nodes.ts";
import { runRoutes } from "./routes/runs.ts";
import { scheduleRoutes } from "./routes/schedules.ts";
import { sessionRoutes } from "./routes/session.ts";
import { strandRoutes } from "./routes/strands.ts";
import { streamRoutes } from "./routes/streams.ts";
import { tokenRoutes } from "./routes/tokens.ts";
import { onError } from "./to-problem.ts";
import { traceRequests } from "./trace-requests.ts";
import { version } from "./version.ts";

const MAX_BODY_BYTES = 1024 * 1024;
const MAX_STREAMS = 1_000;

/** What the hub's application works with. */
export interface HubDeps {
  queue: Queue;
  workflows: ReadonlyMap<string, AnyWorkflow>;
  log: Log;
  /**
   * The bootstrap token, which may do everything. Undefined lets in who names a loopback host: for a hub
   * that listens on loopback only.
   */
  token: string | undefined;
  /** Names by which the hub may be asked for, besides `localhost` and any address. */
  hosts?: readonly string[];
  /** Lets the tailnet's people and machines in without a token. */
  tailnet?: TailnetAccess;
  /** The hub's own node, where it has one. */
  node?: string | undefined;
  /** The node that is preferred for steps that neither require nor prefer anything. */
  defaultHost?: string | undefined;
  /** The tailnet that the hub is in. Without it, nothing is said of ways between machines. */
  mesh?: Mesh | undefined;
  /** Rings a node's doorbell and waits for its answer. */
  tryRing?: Doorbells["tryRing"] | undefined;
  /** Of one credential; default 100 a second, and 600 at once. */
  rateLimit?: RateLimit;
  /** The folder of the built dashboard, to be served at `/`; none without it. */
  dashboard?: string | undefined;
  /** Of streams that are open at once; default 1000. */
  maxStreams?: number;
  /** What `/metrics` tells; default: those of this application alone. */
  metrics?: Metrics;
  /** Writes spans of requests; default: none. */
  tracing?: Tracing;
  /** Called when there may be something to place, or to claim. */
  onJobsAdded?: (pinnedTo?: readonly string[]) => void;
  /** Aborts when the hub ends: streams end with it. */
  stopping?: AbortSignal;
}

/** The hub's HTTP application, without a port: what `fetch` takes and tests call. */
export function createHub(deps: HubDeps): OpenAPIHono<HubEnv> {
  const { queue, workflows, log, stopping = new AbortController().signal } = deps;
  const { metrics = createMetrics() } = deps;
  const feed = createEventFeed({ queue, log });
  const route: RouteDeps = {
    queue,
    workflows,
    log,
    node: deps.node,
    defaultHost: deps.defaultHost,
    mesh: deps.mesh,
    tryRing: deps.tryRing,
    tokens: createTokenMemory((digest) => queue.findToken(digest)),
    feed,
    onJobsAdded(pinnedTo) {
      feed.ring();
      deps.onJobsAdded?.(pinnedTo);
    },
  };

  const app = new OpenAPIHono<HubEnv>();
  app.onError(onError(log));
  app.notFound((c) =>
    respondProblem(c, {
      title: "Not found",
      status: 404,
      code: "NOT_FOUND",
      detail: `there is nothing at ${c.req.path}`,
      hint: /.\/$/.test(c.req.path)
        ? "leave out the slash at the end"
        : "the API is under /api/loom; /docs describes it",
    }),
  );
  app.use(measureHttp(metrics));
  app.use(requestId());
  app.use(knownHost(deps.hosts ?? []));
  if (deps.dashboard !== undefined) app.use(serveDashboard(deps.dashboard));
  app.use(methodNotAllowed({ app, onMethodNotAllowed }));
  app.use("/api/*", traceRequests(deps.tracing ?? untraced));
  const guarded = guard(deps, route);
  app.use("/api/*", guarded);
  app.use("/metrics", guarded);
  app.use("/api/*", bodyLimit({ maxSize: MAX_BODY_BYTES, onError: onLargeBody }));

  app.route("/", healthRoutes(deps));
  app.route("/", metricsRoutes({ queue, feed, metrics, log, stopping }));
  app.route("/api/loom/strands", strandRoutes(route));
  app.route("/api/loom/runs", runRoutes(route));
  app.route("/api/loom/jobs", jobRoutes(route));
  app.route("/api/loom/jobs", newJobRoutes(route));
  app.route("/api/loom/jobs", jobLogRoutes(route));
  app.route("/api/loom/explain", explainRoutes(route));
  app.route("/api/loom/doctor", doctorRoutes(route));
  app.route("/api/loom/mesh", meshRoutes(route));
  app.route("/api/loom/nodes", nodeRoutes(route));
  app.route("/api/loom/schedules", scheduleRoutes(route));
  const gate = createStreamGate({ limit: deps.maxStreams ?? MAX_STREAMS, stopping });
  app.route("/api/loom", streamRoutes(route, gate));
  app.route("/api/loom/audit", auditRoutes(route));
  app.route("/api/loom/tokens", tokenRoutes(route));
  app.route("/api/loom/session", sessionRoutes(route));

  app.openAPIRegistry.registerComponent("securitySchemes", "token", {
    type: "http",
    scheme: "bearer",
  });
  app.openAPIRegistry.registerComponent("securitySchemes", "session", {
    type: "apiKey",
    in: "cookie",
    name: "loom_session",
  });
  app.route(
    "/",
    referenceRoutes(() =>
      app.getOpenAPI31Document({
        openapi: "3.1.0",
        info: { title: "Loom hub", version },
        security: [{ token: [] }, { session: [] }],
      }),
    ),
  );
  return app;
}

const onLargeBody = (): never => {
  throw new ProblemError({
    title: "Body too large",
    status: 413,
    code: "BODY_TOO_LARGE",
    detail: "a request body holds at most 1 MiB",
    hint: "store the data elsewhere and pass a reference",
  });
};

const onMethodNotAllowed = (c: Context, methods: string[]): Response => {
  const allow = methods.join(", ");
  const detail = `${c.req.path} answers ${allow}, not ${c.req.method}`;
  return respondProblem(
    c,
    { title: "Method not allowed", status: 405, code: "METHOD_NOT_ALLOWED", detail },
    { allow },
  );
};
