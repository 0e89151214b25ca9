import { createHash } from "node:crypto";
import { createRoute, z } from "@hono/zod-openapi";
import { planRun } from "@loom/scheduler";
import { allowUnsatisfiable, judgeWorkflow } from "../explain/judge-plan.ts";
import { findWorkflow } from "../find-workflow.ts";
import { createRouter, type RouteDeps } from "../hub-context.ts";
import { answer, json } from "../json-content.ts";
import { jsonValue } from "../json-value.ts";
import { commonProblems, idempotencyHeaders, operation } from "../operation.ts";
import { problems } from "../problem.ts";
import { startJudged } from "../store-judged.ts";
import { traceOf } from "../trace-requests.ts";
import { plannedRunView } from "../views/started.ts";
import { strandSummaryView, strandView, toStrandSummary, toStrandView } from "../views/strand.ts";
import { pausePair } from "./pause-pair.ts";

const params = z.object({ workflow: z.string() });

const list = createRoute({
  ...operation("listStrands", "read"),
  method: "get",
  path: "/",
  summary: "Every workflow that this hub knows, by name",
  responses: {
    200: answer("The workflows", z.object({ data: z.array(strandSummaryView) })),
    ...commonProblems,
  },
});

const get = createRoute({
  ...operation("getStrand", "read"),
  method: "get",
  path: "/{workflow}",
  summary: "A workflow's definition, and whether it can run now",
  request: { params, headers: z.object({ "if-none-match": z.string().optional() }) },
  responses: {
    200: {
      ...answer("The definition", strandView),
      headers: z.object({ etag: z.string() }),
    },
    304: { description: "It is as `If-None-Match` says" },
    ...commonProblems,
    ...problems(404),
  },
});

const run = createRoute({
  ...operation("startRun", "run"),
  method: "post",
  path: "/{workflow}/run",
  summary: "Start a run",
  request: {
    params,
    headers: idempotencyHeaders,
    body: {
      required: false,
      ...json(
        z.strictObject({
          input: jsonValue.optional().openapi({
            description: "What the workflow's schema asks for; `{}` where it is left out",
          }),
          key: z
            .string()
            .regex(/^\P{C}{1,300}$/u, "a key has 1 to 300 printable characters")
            .optional()
            .openapi({
              description:
                "A workflow has one run of a key, for as long as that is kept: asking again answers with it",
            }),
          allowUnsatisfiable,
        }),
      ),
    },
  },
  responses: {
    202: answer("The run is stored; nodes will run it", plannedRunView),
    ...commonProblems,
    ...problems(400, 404, 413, 415, 422),
  },
});

/** Workflows, in the interface also called strands. */
export function strandRoutes(deps: RouteDeps) {
  const { queue, workflows, defaultHost, onJobsAdded } = deps;
  const app = createRouter();

  app.openapi(list, async (c) => {
    const paused = await readPaused();
    const sorted = [...workflows.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
    const data = sorted.map((workflow) => toStrandSummary(workflow, paused.get(workflow.name)));
    return c.json({ data }, 200);
  });

  app.openapi(get, async (c) => {
    const workflow = findWorkflow(c.req.valid("param").workflow, workflows);
    const [paused, canRun] = await Promise.all([readPaused(), judgeWorkflow(workflow, queue)]);
    const view = toStrandView(workflow, { since: paused.get(workflow.name), canRun });
    const etag = `"${createHash("sha256").update(JSON.stringify(view)).digest("base64url").slice(0, 16)}"`;
    const known = c.req.valid("header")["if-none-match"] ?? "";
    if (known === "*" || known.replaceAll("W/", "").split(/, */).includes(etag)) {
      return c.body(null, 304, { etag });
    }
    return c.json(view, 200, { etag });
  });

  app.openapi(run, async (c) => {
    const { input, key, allowUnsatisfiable: isAllowed } = c.req.valid("json");
    const workflow = findWorkflow(c.req.valid("param").workflow, workflows);
    const plan = planRun(workflow, { input, defaultHost });
    const askedBy = c.get("identity").who;
    return startJudged(c, deps, {
      steps: plan.jobs,
      allowUnsatisfiable: isAllowed,
      start: (acting) => acting.startRun(plan, { askedBy, ...(key && { key }), ...traceOf(c) }),
    });
  });

  app.route(
    "/",
    pausePair(deps, {
      noun: "Strand",
      parameter: "workflow",
      pauses: "Keep a workflow's steps from being placed and claimed; what runs goes on",
      resumes: "Let a paused workflow go on",
      pause: (acting, name, note) => acting.pauseWorkflow(findWorkflow(name, workflows).name, note),
      async resume(acting, name) {
        await acting.resumeWorkflow(findWorkflow(name, workflows).name);
        onJobsAdded();
      },
    }),
  );

  async function readPaused() {
    return new Map((await queue.listPaused()).map((paused) => [paused.workflow, paused]));
  }

  return app;
}
