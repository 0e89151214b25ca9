import { OpenAPIHono } from "@hono/zod-openapi";
import type { Queue } from "@loom/queue";
import type { Log } from "@loom/worker";
import type { AnyWorkflow, RunPlan } from "@loom/workflow";
import type { Context } from "hono";
import { bodyLimit } from "hono/body-limit";
import { HTTPException } from "hono/http-exception";
import { methodNotAllowed } from "hono/method-not-allowed";
import { requestId } from "hono/request-id";
import { authorize } from "./authorize.ts";
import { onError, respondProblem } from "./problem.ts";
import { healthRoutes } from "./routes/health.ts";
import { nodeRoutes } from "./routes/nodes.ts";
import { runRoutes } from "./routes/runs.ts";
import { strandRoutes } from "./routes/strands.ts";
import { version } from "./version.ts";

const MAX_BODY_BYTES = 1024 * 1024;

/** What the hub's application works with. */
export interface HubDeps {
  queue: Queue;
  workflows: ReadonlyMap<string, AnyWorkflow>;
  log: Log;
  /** Undefined lets in who names a loopback host: for a hub that listens on loopback only. */
  token: string | undefined;
  /** Called when a run was stored: there is something to place. */
  onRunStarted?: (plan: RunPlan) => void;
}

/** The hub's HTTP application, without a port: what `fetch` takes and tests call. */
export function createHub(deps: HubDeps) {
  const app = new OpenAPIHono();
  app.onError(onError(deps.log));
  app.notFound((c) =>
    respondProblem(c, {
      title: "Not found",
      status: 404,
      code: "NOT_FOUND",
      detail: `there is nothing at ${c.req.path}`,
      hint: "the API is under /api/loom; /openapi.json describes it",
    }),
  );
  app.use(requestId());
  app.use(methodNotAllowed({ app, onMethodNotAllowed }));
  app.use("/api/*", authorize(deps.token));
  app.use(
    "/api/*",
    bodyLimit({
      maxSize: MAX_BODY_BYTES,
      onError: () => {
        throw new HTTPException(413, { message: "a request body holds at most 1 MiB" });
      },
    }),
  );
  app.openAPIRegistry.registerComponent("securitySchemes", "token", {
    type: "http",
    scheme: "bearer",
  });
  app.doc31("/openapi.json", {
    openapi: "3.1.0",
    info: { title: "Loom hub", version },
    security: [{ token: [] }],
  });
  return app
    .route("/", healthRoutes(deps))
    .route("/api/loom/strands", strandRoutes(deps))
    .route("/api/loom/runs", runRoutes(deps))
    .route("/api/loom/nodes", nodeRoutes(deps));
}

const onMethodNotAllowed = (c: Context, methods: string[]): Response => {
  const allow = methods.join(", ");
  const detail = `${c.req.path} answers ${allow}, not ${c.req.method}`;
  return respondProblem(
    c,
    { title: "Method not allowed", status: 405, code: "METHOD_NOT_ALLOWED", detail },
    { allow },
  );
};
