import type { Run, RunSummary } from "@loom/client";
import {
  cancelledRunSchema,
  pageOf,
  plannedRunSchema,
  rerunRequest,
  retryRequest,
  runQuery,
  runSchema,
  runSummarySchema,
} from "@loom/client/schemas";
import {
  answer,
  auditedOnce,
  createRouter,
  idempotencyHeaders,
  optionalBody,
  problem,
  readCursor,
  route,
  toPage,
  withIsoDates,
} from "@loom/http";
import {
  isUnreadable,
  type Job,
  type Run as QueueRun,
  type RunSummary as QueueRunSummary,
} from "@loom/queue";
import { z } from "zod";
import { startChecked } from "../check-satisfiable.ts";
import { planExec, requestOf, requireExec, signAgain } from "../code/exec.ts";
import type { HubContext } from "../hub-context.ts";
import { findWorkflow, planRetry } from "../plan.ts";
import { traceOf } from "../trace-requests.ts";

const params = z.object({ id: z.string() });

const list = route("listRuns", "read", {
  method: "get",
  path: "/",
  summary: "Runs, newest first",
  request: { query: runQuery },
  responses: { 200: answer("A page of runs", pageOf(runSummarySchema)) },
  fails: [422],
});

const get = route("getRun", "read", {
  method: "get",
  path: "/{id}",
  summary: "A run with its steps",
  request: { params },
  responses: {
    200: answer("The run and a row for every step, in the workflow's order", runSchema),
  },
  fails: [404],
});

const cancel = route("cancelRun", "run", {
  method: "post",
  path: "/{id}/cancel",
  summary: "Cancel the unfinished steps of a run",
  request: { params, headers: idempotencyHeaders },
  responses: {
    202: answer("Its status: `running` while a node still has to stop a step", cancelledRunSchema),
  },
  fails: [404, 422],
});

const retry = route("retryRun", "run", {
  method: "post",
  path: "/{id}/retry",
  summary: "Repeat a finished run as a new one",
  request: { params, headers: idempotencyHeaders, body: optionalBody(retryRequest) },
  responses: { 202: answer("The new run is stored", plannedRunSchema) },
  fails: [404, 409],
});

const rerun = route("rerunRun", "run", {
  method: "post",
  path: "/{id}/rerun",
  summary: "Start a new run of its workflow's current version, with the same or another input",
  request: { params, headers: idempotencyHeaders, body: optionalBody(rerunRequest) },
  responses: { 202: answer("The new run is stored", plannedRunSchema) },
  fails: [404, 409],
});

export function runRoutes(hub: HubContext) {
  const { queue, planner, defaultHost, onOrders } = hub;
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

  app.openapi(get, async (c) => c.json(toRun(await queue.getRun(c.req.valid("param").id)), 200));

  app.openapi(cancel, async (c) => {
    const status = await (await auditedOnce(c, queue)).cancelRun(c.req.valid("param").id);
    onOrders();
    return c.json({ status }, 202);
  });

  app.openapi(retry, async (c) => {
    const { allowUnsatisfiable, ...request } = c.req.valid("json");
    const what = request.mode === "from" ? request : { mode: request.mode ?? "failed" };
    const old = await queue.getRun(c.req.valid("param").id);
    const isExec = requireExec(c, old.workflow);
    // The current code: the fault may have been fixed there.
    const { version } = isExec ? old : (planner.workflows.get(old.workflow) ?? old);
    const signed = isExec ? { signed: signAgain(old, hub) } : {};
    return startChecked(c, hub, {
      steps: await planRetry(old, { ...what, queue, version }),
      allowUnsatisfiable,
      start: (audited) => audited.retryRun(old.id, { ...what, version, ...signed, ...traceOf(c) }),
    });
  });

  app.openapi(rerun, async (c) => {
    const old = await queue.getRun(c.req.valid("param").id);
    const { input = old.rawInput, allowUnsatisfiable } = c.req.valid("json");
    const askedBy = c.get("identity").who;
    if (requireExec(c, old.workflow)) {
      const { id, plan } = planExec(c.req.valid("json").input ?? requestOf(old, hub), hub);
      const options = { id, askedBy, trigger: "manual", retryOf: old.id, ...traceOf(c) } as const;
      return startChecked(c, hub, {
        steps: plan.jobs,
        allowUnsatisfiable,
        start: (audited) => audited.startRun(plan, options),
      });
    }
    if (input === old.rawInput && isUnreadable(old.rawInput)) {
      throw problem("INPUT_UNREADABLE", old.id);
    }
    const { name } = await findWorkflow(old.workflow, planner);
    const plan = await planner.plan(name, { input, defaultHost });
    return startChecked(c, hub, {
      steps: plan.jobs,
      allowUnsatisfiable,
      start: (audited) =>
        audited.startRun(plan, { askedBy, trigger: "manual", retryOf: old.id, ...traceOf(c) }),
    });
  });

  return app;
}

const toRunSummary = ({ steps, ...run }: QueueRunSummary): RunSummary => ({
  ...withIsoDates(run),
  steps: steps ?? {},
});

/** A run as the API shows it; the schema drops the fields that only the queue needs. */
export const toRun = (run: QueueRun): Run =>
  runSchema.parse({ ...withIsoDates({ finishedAt: null, ...run }), steps: run.jobs.map(toStep) });

function toStep(job: Job) {
  const startedAt = "claimedAt" in job ? job.claimedAt : null;
  const finishedAt = "finishedAt" in job ? job.finishedAt : null;
  return {
    waitingReason: null,
    skipReason: null,
    ...withIsoDates(job),
    host: "targetHost" in job ? job.targetHost : job.state === "waiting" ? null : job.ranOn,
    result: job.state === "succeeded" ? job.result : null,
    startedAt: startedAt?.toISOString() ?? null,
    finishedAt: finishedAt?.toISOString() ?? null,
    durationMs: startedAt && finishedAt ? finishedAt.getTime() - startedAt.getTime() : null,
  };
}
