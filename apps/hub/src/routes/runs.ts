import { createRoute, z } from "@hono/zod-openapi";
import { planRun } from "@loom/scheduler";
import { allowUnsatisfiable } from "../explain/judge-plan.ts";
import { findWorkflow } from "../find-workflow.ts";
import { createRouter, type RouteDeps } from "../hub-context.ts";
import { answer, json } from "../json-content.ts";
import { jsonValue } from "../json-value.ts";
import { actOnceFor, commonProblems, idempotencyHeaders, operation } from "../operation.ts";
import { planRetry } from "../plan-retry.ts";
import { problems } from "../problem.ts";
import { startJudged } from "../store-judged.ts";
import { traceOf } from "../trace-requests.ts";
import { pageOf, pageQuery, readCursor, toPage } from "../views/page.ts";
import { runView, toRunView } from "../views/run.ts";
import { runStatus, runSummaryView, runTrigger, toRunSummary } from "../views/run-summary.ts";
import { plannedRunView } from "../views/started.ts";

const params = z.object({ id: z.string() });

const list = createRoute({
  ...operation("listRuns", "read"),
  method: "get",
  path: "/",
  summary: "Runs, newest first",
  request: {
    query: z.strictObject({
      workflow: z.string().max(100).optional(),
      status: runStatus.optional(),
      trigger: runTrigger.optional(),
      askedBy: z.string().max(300).optional(),
      since: z.iso.datetime({ offset: true }).optional(),
      until: z.iso.datetime({ offset: true }).optional(),
      ...pageQuery,
    }),
  },
  responses: {
    200: answer("A page of runs", pageOf(runSummaryView)),
    ...commonProblems,
    ...problems(422),
  },
});

const get = createRoute({
  ...operation("getRun", "read"),
  method: "get",
  path: "/{id}",
  summary: "A run with its steps",
  request: { params },
  responses: {
    200: answer("The run and a row for every step, in the workflow's order", runView),
    ...commonProblems,
    ...problems(404),
  },
});

const cancel = createRoute({
  ...operation("cancelRun", "run"),
  method: "post",
  path: "/{id}/cancel",
  summary: "Cancel what is not finished of a run",
  request: { params, headers: idempotencyHeaders },
  responses: {
    202: answer(
      "Its status: `running` while a node still has to stop a step",
      z.object({ status: runStatus }),
    ),
    ...commonProblems,
    ...problems(404, 422),
  },
});

const retryRequest = z
  .discriminatedUnion(
    "mode",
    [
      z.strictObject({ mode: z.enum(["all", "failed"]).optional(), allowUnsatisfiable }),
      z.strictObject({
        mode: z.literal("from"),
        step: z.string().min(1).max(100),
        allowUnsatisfiable,
      }),
    ],
    { error: ({ code }) => (code === "invalid_union" ? "is all, failed or from" : undefined) },
  )
  .openapi({
    description:
      "`failed`, as where it is left out, takes over what succeeded; `from` repeats a step, what depends on it, and what did not succeed",
  });

const retry = createRoute({
  ...operation("retryRun", "run"),
  method: "post",
  path: "/{id}/retry",
  summary: "Repeat a finished run as a new one",
  request: {
    params,
    headers: idempotencyHeaders,
    body: {
      required: false,
      ...json(retryRequest),
    },
  },
  responses: {
    202: answer("The new run is stored", plannedRunView),
    ...commonProblems,
    ...problems(400, 404, 409, 413, 415, 422),
  },
});

const rerun = createRoute({
  ...operation("rerunRun", "run"),
  method: "post",
  path: "/{id}/rerun",
  summary: "Run its workflow again, as it is now, with the same or another input",
  request: {
    params,
    headers: idempotencyHeaders,
    body: {
      required: false,
      ...json(
        z.strictObject({
          input: jsonValue
            .optional()
            .openapi({ description: "In place of the run's; left out, the input is the same" }),
          allowUnsatisfiable,
        }),
      ),
    },
  },
  responses: {
    202: answer("The new run is stored", plannedRunView),
    ...commonProblems,
    ...problems(400, 404, 413, 415, 422),
  },
});

export function runRoutes(deps: RouteDeps) {
  const { queue, workflows, defaultHost, feed } = deps;
  const app = createRouter();

  app.openapi(list, async (c) => {
    const { cursor, limit, since, until, ...rest } = c.req.valid("query");
    const filters = { list: "runs", ...rest, since, until };
    const { runs, next } = await queue.listRuns({
      ...rest,
      since: since === undefined ? undefined : new Date(since),
      until: until === undefined ? undefined : new Date(until),
      after: readCursor(cursor, filters, z.string()),
      limit,
    });
    return c.json(toPage(c, runs.map(toRunSummary), next, filters), 200);
  });

  app.openapi(get, async (c) =>
    c.json(toRunView(await queue.getRun(c.req.valid("param").id)), 200),
  );

  app.openapi(cancel, async (c) => {
    const status = await (await actOnceFor(c, queue)).cancelRun(c.req.valid("param").id);
    feed.ring();
    return c.json({ status }, 202);
  });

  app.openapi(retry, async (c) => {
    const { allowUnsatisfiable: isAllowed, ...asked } = c.req.valid("json");
    const what = asked.mode === "from" ? asked : { mode: asked.mode ?? "failed" };
    const old = await queue.getRun(c.req.valid("param").id);
    // The code as it is now: what failed was perhaps mended.
    const { version } = workflows.get(old.workflow) ?? old;
    return startJudged(c, deps, {
      steps: planRetry(old, what, version),
      allowUnsatisfiable: isAllowed,
      start: (acting) => acting.retryRun(old.id, { ...what, version, ...traceOf(c) }),
    });
  });

  app.openapi(rerun, async (c) => {
    const old = await queue.getRun(c.req.valid("param").id);
    const { input = old.input, allowUnsatisfiable: isAllowed } = c.req.valid("json");
    const plan = planRun(findWorkflow(old.workflow, workflows), { input, defaultHost });
    const askedBy = c.get("identity").who;
    return startJudged(c, deps, {
      steps: plan.jobs,
      allowUnsatisfiable: isAllowed,
      start: (acting) =>
        acting.startRun(plan, { askedBy, trigger: "manual", retryOf: old.id, ...traceOf(c) }),
    });
  });

  return app;
}
