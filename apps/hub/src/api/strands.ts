import { createHash } from "node:crypto";
import type { PlanVerdict, Strand, StrandSummary } from "@loom/client";
import {
  plannedRunSchema,
  startRequest,
  strandListSchema,
  strandSchema,
} from "@loom/client/schemas";
import {
  answer,
  createRouter,
  idempotencyHeaders,
  optionalBody,
  pauseRoutes,
  route,
} from "@loom/http";
import type { PausedWorkflow } from "@loom/queue";
import { EXEC_WORKFLOW, type WorkflowManifest } from "@loom/workflow";
import { z } from "zod";
import { checkWorkflow, startChecked } from "../check-satisfiable.ts";
import { planExec, requireExec } from "../code/exec.ts";
import type { HubContext } from "../hub-context.ts";
import { findWorkflow } from "../plan.ts";
import { traceOf } from "../trace-requests.ts";

const DAY_MS = 86_400_000;
const params = z.object({ workflow: z.string() });

const list = route("listStrands", "read", {
  method: "get",
  path: "/",
  summary: "Every workflow of this hub, by name, and the files that it cannot use",
  responses: { 200: answer("The workflows", strandListSchema) },
});

const get = route("getStrand", "read", {
  method: "get",
  path: "/{workflow}",
  summary: "A workflow's definition, and whether it can run now",
  request: { params, headers: z.object({ "if-none-match": z.string().optional() }) },
  responses: {
    200: {
      ...answer("The definition", strandSchema),
      headers: z.object({ etag: z.string() }),
    },
    304: { description: "It has not changed since `If-None-Match`" },
  },
  fails: [404],
});

const run = route("startRun", "run", {
  method: "post",
  path: "/{workflow}/run",
  summary: "Start a run",
  description:
    "The workflow `exec` runs a command: its input is an ExecRequest, and it needs the scope `exec` too.",
  request: { params, headers: idempotencyHeaders, body: optionalBody(startRequest) },
  responses: { 202: answer("The run is stored; nodes will run it", plannedRunSchema) },
  fails: [404, 409],
});

/** Workflows, which the API's paths call strands. */
export function strandRoutes(hub: HubContext) {
  const { queue, planner, defaultHost, onJobsAdded, retentionDays } = hub;
  const app = createRouter();

  app.openapi(list, async (c) => {
    const paused = await readPaused();
    const sorted = [...planner.workflows.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
    const data = sorted.map((workflow) =>
      toStrandSummary(workflow, { paused: paused.get(workflow.name), retentionDays }),
    );
    const { problems, loading } = planner;
    return c.json({ data, problems: [...problems], loading: [...loading] }, 200);
  });

  app.openapi(get, async (c) => {
    const workflow = await findWorkflow(c.req.valid("param").workflow, planner);
    const [paused, canRun] = await Promise.all([readPaused(), checkWorkflow(workflow, queue)]);
    const strand = toStrand(workflow, { paused: paused.get(workflow.name), canRun, retentionDays });
    const etag = `"${createHash("sha256").update(JSON.stringify(strand)).digest("base64url").slice(0, 16)}"`;
    const known = c.req.valid("header")["if-none-match"] ?? "";
    if (known === "*" || known.replaceAll("W/", "").split(/, */).includes(etag)) {
      return c.body(null, 304, { etag });
    }
    return c.json(strand, 200, { etag });
  });

  app.openapi(run, async (c) => {
    const { input, key, allowUnsatisfiable } = c.req.valid("json");
    if (requireExec(c, c.req.valid("param").workflow)) {
      const { id, plan } = planExec(input, hub);
      const options = { id, askedBy: c.get("identity").who, ...(key && { key }), ...traceOf(c) };
      return startChecked(c, hub, {
        steps: plan.jobs,
        allowUnsatisfiable,
        start: (audited) => audited.startRun(plan, options),
      });
    }
    const workflow = await findWorkflow(c.req.valid("param").workflow, planner);
    const plan = await planner.plan(workflow.name, { input, defaultHost });
    const askedBy = c.get("identity").who;
    return startChecked(c, hub, {
      steps: plan.jobs,
      allowUnsatisfiable,
      start: (audited) => audited.startRun(plan, { askedBy, ...(key && { key }), ...traceOf(c) }),
    });
  });

  app.route(
    "/",
    pauseRoutes(hub, {
      noun: "Strand",
      parameter: "workflow",
      pauses:
        "Pause a workflow: its steps are neither placed nor claimed; those that run or wait continue",
      resumes: "Resume a workflow",
      async pause(audited, name, note) {
        await audited.pauseWorkflow(await nameOf(name), note);
      },
      async resume(audited, name) {
        await audited.resumeWorkflow(await nameOf(name));
        onJobsAdded();
      },
    }),
  );

  /** Commands can be paused as well, and are in no file. */
  const nameOf = async (name: string): Promise<string> =>
    name === EXEC_WORKFLOW ? name : (await findWorkflow(name, planner)).name;

  async function readPaused() {
    return new Map((await queue.listPaused()).map((paused) => [paused.workflow, paused]));
  }

  return app;
}

const toStrand = (
  workflow: WorkflowManifest,
  { canRun, ...facts }: SummaryFacts & { canRun: PlanVerdict },
): Strand =>
  strandSchema.parse({
    ...toStrandSummary(workflow, facts),
    requires: workflow.requires,
    steps: workflow.steps.map(({ computed, retry, map, ...step }) => ({
      ...step,
      map: map && { ...map, over: map.path === null ? map.step : `${map.step}.${map.path}` },
      ...Object.fromEntries(computed.map((option) => [option, "from input"])),
      attempts: retry.attempts,
    })),
    inputSchema: workflow.inputSchema,
    canRun,
  });

interface SummaryFacts {
  paused: PausedWorkflow | undefined;
  retentionDays: number;
}

const toStrandSummary = (
  { name, version, requires, steps, schedule, retention, notify }: WorkflowManifest,
  { paused, retentionDays }: SummaryFacts,
): StrandSummary => ({
  name,
  version,
  steps: steps.map(({ name, after }) => ({ name, after: [...after] })),
  requires: [...new Set([...requires, ...steps.flatMap((step) => step.requires)])].sort(),
  schedule: schedule && {
    expression: schedule.expression,
    timeZone: schedule.timeZone,
    input: schedule.input,
  },
  retention: {
    succeededMs: retention?.succeededMs ?? retentionDays * DAY_MS,
    failedMs: retention?.failedMs ?? retentionDays * DAY_MS,
  },
  notify: Object.fromEntries(
    Object.entries(notify ?? {}).map(([rule, hooks]) => [rule, [...hooks]]),
  ),
  paused: paused ? { note: paused.note, since: paused.pausedAt.toISOString() } : null,
});
