import { createRoute, z } from "@hono/zod-openapi";
import { planRun, suggestNames } from "@loom/scheduler";
import { allowUnsatisfiable } from "../explain/judge-plan.ts";
import { findWorkflow } from "../find-workflow.ts";
import { createRouter, type RouteDeps } from "../hub-context.ts";
import { answer, json } from "../json-content.ts";
import { commonProblems, idempotencyHeaders, operation } from "../operation.ts";
import { ProblemError, problems } from "../problem.ts";
import { startJudged } from "../store-judged.ts";
import { traceOf } from "../trace-requests.ts";
import { pageOf, pageQuery, readCursor, toPage } from "../views/page.ts";
import { scheduleView, slotView, toScheduleView, toSlotView } from "../views/schedule.ts";
import { plannedRunView } from "../views/started.ts";
import { pausePair } from "./pause-pair.ts";

const params = z.object({ id: z.string() });

const list = createRoute({
  ...operation("listSchedules", "read"),
  method: "get",
  path: "/",
  summary: "Every schedule, by id, also those that no workflow defines any more",
  responses: {
    200: answer("The schedules", z.object({ data: z.array(scheduleView) })),
    ...commonProblems,
  },
});

const get = createRoute({
  ...operation("getSchedule", "read"),
  method: "get",
  path: "/{id}",
  summary: "A schedule: when it is due next, and what became of it last",
  request: { params },
  responses: {
    200: answer("The schedule", scheduleView),
    ...commonProblems,
    ...problems(404),
  },
});

const listSlots = createRoute({
  ...operation("listScheduleSlots", "read"),
  method: "get",
  path: "/{id}/slots",
  summary: "What became of each moment at which a schedule was due, newest first",
  request: { params, query: z.strictObject(pageQuery) },
  responses: {
    200: answer("A page of slots", pageOf(slotView)),
    ...commonProblems,
    ...problems(404, 422),
  },
});

const trigger = createRoute({
  ...operation("triggerSchedule", "run"),
  method: "post",
  path: "/{id}/trigger",
  summary: "Start a run of a schedule now, also while it is paused or another one goes on",
  request: {
    params,
    headers: idempotencyHeaders,
    body: { required: false, ...json(z.strictObject({ allowUnsatisfiable })) },
  },
  responses: {
    202: answer("The run is stored; nodes will run it", plannedRunView),
    ...commonProblems,
    ...problems(400, 404, 409, 413, 415, 422),
  },
});

/** When workflows start by themselves. */
export function scheduleRoutes(deps: RouteDeps) {
  const { queue, workflows, defaultHost } = deps;
  const app = createRouter();

  app.openapi(list, async (c) => {
    const { now, schedules } = await queue.listSchedules();
    return c.json({ data: schedules.map((schedule) => toScheduleView(schedule, now)) }, 200);
  });

  app.openapi(get, async (c) => {
    const { now, schedule } = await find(c.req.valid("param").id);
    return c.json(toScheduleView(schedule, now), 200);
  });

  app.openapi(listSlots, async (c) => {
    const { id } = c.req.valid("param");
    const { cursor, limit } = c.req.valid("query");
    const filters = { list: "slots", id };
    const after = readCursor(cursor, filters, z.iso.datetime());
    const page = await queue.listSlots(id, { limit, ...(after && { after: new Date(after) }) });
    if (!page) throw await unknownSchedule(id);
    const next = page.next?.toISOString() ?? null;
    return c.json(toPage(c, page.slots.map(toSlotView), next, filters), 200);
  });

  app.openapi(trigger, async (c) => {
    const { schedule } = await find(c.req.valid("param").id);
    const workflow = findWorkflow(schedule.workflow, workflows);
    const plan = planRun(workflow, { input: schedule.input, defaultHost });
    const askedBy = c.get("identity").who;
    return startJudged(c, deps, {
      steps: plan.jobs,
      allowUnsatisfiable: c.req.valid("json").allowUnsatisfiable,
      async start(acting) {
        const options = { askedBy, ...traceOf(c) };
        const started = await acting.triggerSchedule(schedule.id, plan, options);
        if (!started) throw await unknownSchedule(schedule.id);
        return started;
      },
    });
  });

  app.route(
    "/",
    pausePair(deps, {
      noun: "Schedule",
      parameter: "id",
      pauses: "Keep a schedule from starting runs; what runs goes on",
      resumes: "Let a paused schedule go on; what was due meanwhile is not made up for",
      async pause(acting, id, note) {
        if (!(await acting.pauseSchedule(id, note))) throw await unknownSchedule(id);
      },
      async resume(acting, id) {
        if (!(await acting.resumeSchedule(id))) throw await unknownSchedule(id);
      },
    }),
  );

  async function find(id: string) {
    const { now, schedules } = await queue.listSchedules();
    const schedule = schedules.find((known) => known.id === id);
    if (!schedule) throw await unknownSchedule(id);
    return { now, schedule };
  }

  async function unknownSchedule(id: string): Promise<ProblemError> {
    const known = (await queue.listSchedules()).schedules.map((schedule) => schedule.id);
    const suggestions = suggestNames(id, known);
    const meant = suggestions.length > 0 ? `; did you mean ${suggestions.join(" or ")}?` : "";
    return new ProblemError({
      title: "Schedule not found",
      status: 404,
      code: "SCHEDULE_NOT_FOUND",
      detail: `there is no schedule ${id}${meant}`,
      hint: known.length > 0 ? `known schedules: ${known.join(", ")}` : "no workflow has one",
      suggestions,
    });
  }

  return app;
}
