import type { Schedule, ScheduleSlot } from "@loom/client";
import {
  pageOf,
  pageQuery,
  plannedRunSchema,
  scheduleSchema,
  scheduleSlotSchema,
  triggerRequest,
} from "@loom/client/schemas";
import {
  answer,
  createRouter,
  idempotencyHeaders,
  optionalBody,
  type ProblemError,
  pauseRoutes,
  problem,
  readCursor,
  route,
  toPage,
  withIsoDates,
} from "@loom/http";
import type { Schedule as QueueSchedule, ScheduleSlot as QueueSlot } from "@loom/queue";
import { nextSlot } from "@loom/scheduler";
import { z } from "zod";
import { startChecked } from "../check-satisfiable.ts";
import { requireExec } from "../code/exec.ts";
import type { HubContext } from "../hub-context.ts";
import { findWorkflow } from "../plan.ts";
import { traceOf } from "../trace-requests.ts";

const params = z.object({ id: z.string() });

const list = route("listSchedules", "read", {
  method: "get",
  path: "/",
  summary: "Every schedule, by id, including removed ones",
  responses: { 200: answer("The schedules", z.object({ data: z.array(scheduleSchema) })) },
});

const get = route("getSchedule", "read", {
  method: "get",
  path: "/{id}",
  summary: "A schedule, with its next time and its last slot",
  request: { params },
  responses: { 200: answer("The schedule", scheduleSchema) },
  fails: [404],
});

const listSlots = route("listScheduleSlots", "read", {
  method: "get",
  path: "/{id}/slots",
  summary: "The slots of a schedule, newest first, with the decision about each",
  request: { params, query: z.strictObject(pageQuery) },
  responses: { 200: answer("A page of slots", pageOf(scheduleSlotSchema)) },
  fails: [404, 422],
});

const trigger = route("triggerSchedule", "run", {
  method: "post",
  path: "/{id}/trigger",
  summary:
    "Start a run of a schedule now, even while it is paused or another run of it is unfinished",
  request: { params, headers: idempotencyHeaders, body: optionalBody(triggerRequest) },
  responses: { 202: answer("The run is stored; nodes will run it", plannedRunSchema) },
  fails: [404, 409],
});

export function scheduleRoutes(hub: HubContext) {
  const { queue, planner, defaultHost } = hub;
  const app = createRouter();

  app.openapi(list, async (c) => {
    const { now, schedules } = await queue.listSchedules();
    return c.json({ data: schedules.map((schedule) => toSchedule(schedule, now)) }, 200);
  });

  app.openapi(get, async (c) => {
    const { now, schedule } = await find(c.req.valid("param").id);
    return c.json(toSchedule(schedule, now), 200);
  });

  app.openapi(listSlots, async (c) => {
    const { id } = c.req.valid("param");
    const { cursor, limit } = c.req.valid("query");
    const filters = { list: "slots", id };
    const after = readCursor(cursor, filters, z.iso.datetime());
    const page = await queue.listSlots(id, { limit, ...(after && { after: new Date(after) }) });
    if (!page) throw await unknownSchedule(id);
    const next = page.next?.toISOString() ?? null;
    return c.json(toPage(c, page.slots.map(toSlot), next, filters), 200);
  });

  app.openapi(trigger, async (c) => {
    const { schedule } = await find(c.req.valid("param").id);
    requireExec(c, schedule.workflow);
    const { name } = await findWorkflow(schedule.workflow, planner);
    const plan = await planner.plan(name, { input: schedule.input, defaultHost });
    const askedBy = c.get("identity").who;
    return startChecked(c, hub, {
      steps: plan.jobs,
      allowUnsatisfiable: c.req.valid("json").allowUnsatisfiable,
      async start(audited) {
        const options = { askedBy, ...traceOf(c) };
        const started = await audited.triggerSchedule(schedule.id, plan, options);
        if (!started) throw await unknownSchedule(schedule.id);
        return started;
      },
    });
  });

  app.route(
    "/",
    pauseRoutes(hub, {
      noun: "Schedule",
      parameter: "id",
      pauses: "Pause a schedule: it starts no runs; running ones continue",
      resumes: "Resume a schedule; slots that were due during the pause start nothing",
      async pause(audited, id, note) {
        if (!(await audited.pauseSchedule(id, note))) throw await unknownSchedule(id);
      },
      async resume(audited, id) {
        if (!(await audited.resumeSchedule(id))) throw await unknownSchedule(id);
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
    const { schedules } = await queue.listSchedules();
    return problem(
      "SCHEDULE_NOT_FOUND",
      id,
      schedules.map((schedule) => schedule.id),
    );
  }

  return app;
}

function toSchedule(schedule: QueueSchedule, now: Date): Schedule {
  const { decidedUntil: _, revision: __, createdAt: ___, pausedAt, pauseNote, ...rest } = schedule;
  const next = schedule.removedAt === null ? nextSlot(schedule, now) : null;
  return {
    ...rest,
    paused: pausedAt && { note: pauseNote, since: pausedAt.toISOString() },
    removedAt: schedule.removedAt?.toISOString() ?? null,
    nextAt: next?.toISOString() ?? null,
    lastSlot: schedule.lastSlot && toSlot(schedule.lastSlot),
  };
}

const toSlot = ({ slotAt: at, ...slot }: QueueSlot): ScheduleSlot => withIsoDates({ ...slot, at });
