import { OpenAPIHono } from "@hono/zod-openapi";
import { nodeFileRoutes } from "@loom/files";
import {
  describeProblem,
  exactJson,
  guard,
  type HubEnv,
  knownHost,
  onError,
  PRIVATE,
  problem,
  referenceRoutes,
  respondProblem,
} from "@loom/http";
import {
  downloadRoutes,
  joinRoutes,
  joinTokenRoutes,
  passThroughRoutes,
  safeWaysOnly,
  upgradeRoutes,
} from "@loom/join";
import { limits } from "@loom/workflow";
import type { Context, MiddlewareHandler } from "hono";
import { bodyLimit } from "hono/body-limit";
import { methodNotAllowed } from "hono/method-not-allowed";
import { requestId } from "hono/request-id";
import { auditRoutes } from "./api/audit.ts";
import { doctorRoutes } from "./api/doctor.ts";
import { eventRoutes } from "./api/events.ts";
import { explainRoutes } from "./api/explain.ts";
import { healthRoutes } from "./api/health.ts";
import { jobRoutes } from "./api/jobs.ts";
import { meshRoutes } from "./api/mesh.ts";
import { metricsRoutes } from "./api/metrics.ts";
import { nodeKeyRoutes } from "./api/node-keys.ts";
import { nodeRoutes } from "./api/nodes.ts";
import { runRoutes } from "./api/runs.ts";
import { scheduleRoutes } from "./api/schedules.ts";
import { sessionRoutes } from "./api/session.ts";
import { strandRoutes } from "./api/strands.ts";
import { tokenRoutes } from "./api/tokens.ts";
import { approvalRoutes } from "./api/waits/approvals.ts";
import { signalRoutes } from "./api/waits/signals.ts";
import { serveDashboard } from "./dashboard.ts";
import { runFileRoutes, uploadRoutes } from "./files/routes.ts";
import { hookRoutes } from "./hooks/routes.ts";
import { createHubContext, type HubParts } from "./hub-context.ts";
import { measureHttp } from "./metrics/metrics.ts";
import { traceRequests } from "./trace-requests.ts";
import { version } from "./version.ts";

/** Creates the hub's HTTP application, without a port: `fetch` takes a request, and tests call `request`. */
export function createHub(parts: HubParts): OpenAPIHono<HubEnv> {
  const hub = createHubContext(parts);
  const { log, metrics, tracing, dashboard } = hub;
  const app = new OpenAPIHono<HubEnv>();
  app.onError(onError(log));
  app.notFound((c) => respondProblem(c, describeProblem("NOT_FOUND", c.req.path)));
  app.use(measureHttp(metrics));
  app.use(requestId());
  app.use(keepPrivate);
  app.use(knownHost(hub.hosts));
  if (dashboard !== undefined) app.use(serveDashboard(dashboard));
  app.use(methodNotAllowed({ app, onMethodNotAllowed }));
  app.use("/api/*", traceRequests(tracing));
  // Before the guard: a machine that joins has no credential of the API, and an agent has a key of its own.
  app.route("/", downloadRoutes(hub));
  app.route("/", passThroughRoutes(hub));
  app.route("/", joinRoutes(hub));
  if (hub.files) {
    const { databaseUrl } = hub.join;
    const onlySafe = safeWaysOnly(hub.join);
    app.route("/", nodeFileRoutes({ files: hub.files, databaseUrl, onlySafe, log }));
  }
  const guarded = guard(hub);
  app.use("/api/*", guarded);
  app.use("/metrics", guarded);
  // Before the limit of a body: a part of a file is larger.
  app.route("/api/loom/uploads", uploadRoutes(hub));
  app.use("/api/*", bodyLimit({ maxSize: limits.bodyBytes, onError: onLargeBody }));
  app.use("/api/*", exactJson);

  app.route("/", healthRoutes(hub));
  app.route("/", metricsRoutes(hub));
  app.route("/api/loom/strands", strandRoutes(hub));
  app.route("/api/loom/runs", runFileRoutes(hub));
  app.route("/api/loom/runs", runRoutes(hub));
  app.route("/api/loom/jobs", jobRoutes(hub));
  app.route("/api/loom/approvals", approvalRoutes(hub));
  app.route("/api/loom/signals", signalRoutes(hub));
  app.route("/api/loom/explain", explainRoutes(hub));
  app.route("/api/loom/doctor", doctorRoutes(hub));
  app.route("/api/loom/mesh", meshRoutes(hub));
  app.route("/api/loom/nodes", nodeKeyRoutes(hub));
  app.route("/api/loom/nodes", upgradeRoutes(hub));
  app.route("/api/loom/nodes", nodeRoutes(hub));
  app.route("/api/loom/schedules", scheduleRoutes(hub));
  app.route("/api/loom", eventRoutes(hub));
  app.route("/api/loom/audit", auditRoutes(hub));
  app.route("/api/loom/hooks", hookRoutes(hub));
  app.route("/api/loom/tokens", tokenRoutes(hub));
  app.route("/api/loom/join-tokens", joinTokenRoutes(hub));
  app.route("/api/loom/session", sessionRoutes(hub));

  app.openAPIRegistry.registerComponent("securitySchemes", "token", {
    type: "http",
    scheme: "bearer",
  });
  app.openAPIRegistry.registerComponent("securitySchemes", "session", {
    type: "apiKey",
    in: "cookie",
    name: "loom_session_<hub>",
    description: "Set by `openSession`; its name differs between hubs",
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

/** By default, answers are not cached and have the type that they declare. */
const keepPrivate: MiddlewareHandler = async (c, next) => {
  await next();
  for (const [name, value] of Object.entries(PRIVATE)) {
    if (!c.res.headers.has(name)) c.header(name, value);
  }
};

const onLargeBody = (): never => {
  throw problem("BODY_TOO_LARGE");
};

const onMethodNotAllowed = (c: Context, methods: string[]): Response => {
  const allow = methods.join(", ");
  return respondProblem(c, describeProblem("METHOD_NOT_ALLOWED", c.req.path, c.req.method, allow), {
    allow,
  });
};
