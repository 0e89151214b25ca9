import type { Item, Job, JobSummary, StepVerdict } from "@loom/client";
import {
  addedJobsSchema,
  addJobsRequest,
  cancelledJobSchema,
  itemQuery,
  itemSchema,
  jobExplanationSchema,
  jobParams,
  jobQuery,
  jobSchema,
  jobSummarySchema,
  logQuery,
  logSchema,
  pageOf,
} from "@loom/client/schemas";
import { explainJob } from "@loom/explain";
import {
  answer,
  auditedOnce,
  body,
  createRouter,
  idempotencyHeaders,
  problem,
  readCursor,
  route,
  toPage,
  withIsoDates,
} from "@loom/http";
import type { ItemSummary, Job as QueueJob, JobSummary as QueueJobSummary } from "@loom/queue";
import { z } from "zod";
import { checkSatisfiable, storeChecked } from "../check-satisfiable.ts";
import { requireExec } from "../code/exec.ts";
import type { HubContext } from "../hub-context.ts";
import { planJob } from "../plan.ts";
import { LOG_CHUNKS, toLog, toTail } from "../stream/log-frames.ts";
import { traceOf } from "../trace-requests.ts";

const list = route("listJobs", "read", {
  method: "get",
  path: "/",
  summary: "Jobs, newest first: steps of runs, and jobs outside runs",
  request: { query: jobQuery },
  responses: { 200: answer("A page of jobs", pageOf(jobSummarySchema)) },
  fails: [422],
});

const get = route("getJob", "read", {
  method: "get",
  path: "/{id}",
  summary: "A job, with its input and its result",
  request: { params: jobParams },
  responses: { 200: answer("The job", jobSchema) },
  fails: [404, 422],
});

const items = route("listItems", "read", {
  method: "get",
  path: "/{id}/items",
  summary: "The items of a step that maps over a list, in the list's order",
  request: { params: jobParams, query: itemQuery },
  responses: { 200: answer("A page of items; none for another job", pageOf(itemSchema)) },
  fails: [404, 422],
});

const explain = route("explainJob", "read", {
  method: "get",
  path: "/{id}/explain",
  summary: "Why a job runs where it does, or why it does not run yet",
  request: {
    params: jobParams,
    query: z.strictObject({
      node: z.string().max(63).optional().openapi({
        description: "Reports on this node alone; above 50 nodes the report has only groups",
      }),
    }),
  },
  responses: { 200: answer("The decision that placing would make now", jobExplanationSchema) },
  fails: [404, 422],
});

const cancel = route("cancelJob", "run", {
  method: "post",
  path: "/{id}/cancel",
  summary: "Cancel a job; the steps of its run that depend on it are skipped",
  request: { params: jobParams, headers: idempotencyHeaders },
  responses: {
    202: answer(
      "`requested`: the node that runs it still has to stop it. `finished`: the job was already finished",
      cancelledJobSchema,
    ),
  },
  fails: [404, 422],
});

const redrive = route("redriveJob", "run", {
  method: "post",
  path: "/{id}/redrive",
  summary:
    "Add a copy of a failed or cancelled job that belongs to no run; each job can be copied once",
  request: { params: jobParams, headers: idempotencyHeaders },
  responses: { 202: answer("The copy", z.object({ id: z.int() })) },
  fails: [404, 409, 422],
});

const log = route("getJobLog", "read", {
  method: "get",
  path: "/{id}/logs",
  summary: "A job's output from a byte offset on, or its last lines",
  request: { params: jobParams, query: logQuery },
  responses: { 200: answer("The output, at most 4 MiB", logSchema) },
  fails: [404, 422],
});

const add = route("addJobs", "run", {
  method: "post",
  path: "/",
  summary: "Run single steps of workflows; either all jobs are added or none",
  request: { headers: idempotencyHeaders, body: body(addJobsRequest) },
  responses: { 202: answer("The stored jobs, in the same order", addedJobsSchema) },
  fails: [404, 409],
});

/** Stored jobs: steps of runs, and jobs outside runs. */
export function jobRoutes(hub: HubContext) {
  const { queue, planner, defaultHost, onJobsAdded, onOrders } = hub;
  const app = createRouter();

  app.openapi(list, async (c) => {
    const { cursor, limit, ...rest } = c.req.valid("query");
    const filters = { list: "jobs", ...rest };
    const after = readCursor(cursor, filters, z.int().positive());
    const { jobs, next } = await queue.listJobs({ ...rest, after, limit });
    return c.json(toPage(c, jobs.map(toJobSummary), next, filters), 200);
  });

  app.openapi(get, async (c) => c.json(toJob(await queue.getJob(c.req.valid("param").id)), 200));

  app.openapi(items, async (c) => {
    const { id } = c.req.valid("param");
    const { cursor, limit, ...rest } = c.req.valid("query");
    const filters = { list: "items", id, ...rest };
    const after = readCursor(cursor, filters, z.int().nonnegative());
    const page = await queue.listItems(id, { ...rest, after, limit });
    return c.json(toPage(c, page.items.map(toItem), page.next, filters), 200);
  });

  app.openapi(explain, async (c) => {
    const wait = await queue.explainWait(c.req.valid("param").id);
    const { node } = c.req.valid("query");
    const nodes = await queue.listNodes();
    const names = nodes.map(({ name }) => name);
    if (node !== undefined && !names.includes(node)) throw problem("NODE_NOT_FOUND", node, names);
    return c.json(explainJob(wait, nodes, node), 200);
  });

  app.openapi(cancel, async (c) => {
    const { id } = c.req.valid("param");
    // Throws for an unknown job, which must not be recorded as cancelled.
    await queue.getJob(id);
    const [cancelled] = await (await auditedOnce(c, queue)).cancel([id]);
    onOrders();
    // A job that was removed meanwhile was finished.
    const given = cancelled?.answer ?? "unknown";
    return c.json({ answer: given === "unknown" ? ("finished" as const) : given }, 202);
  });

  app.openapi(redrive, async (c) => {
    const { id } = c.req.valid("param");
    const job = await queue.getJob(id);
    if (requireExec(c, job.workflow)) throw problem("EXEC_ONLY_IN_RUNS");
    if (job.runId !== null || (job.state !== "failed" && job.state !== "cancelled")) {
      throw problem("NOTHING_TO_REDRIVE", id);
    }
    const [copy] = await (await auditedOnce(c, queue)).redrive([id], traceOf(c));
    if (typeof copy?.redrivenAs !== "number") throw problem("NOTHING_TO_REDRIVE", id);
    onJobsAdded();
    return c.json({ id: copy.redrivenAs }, 202);
  });

  app.openapi(log, async (c) => {
    const { id } = c.req.valid("param");
    const { offset, tail, fence } = c.req.valid("query");
    await queue.getJob(id);
    const attempt = fence === undefined ? {} : { fence };
    if (tail !== undefined) {
      return c.json(toTail(await queue.tailLog(id, { lines: tail, ...attempt }), tail), 200);
    }
    const page = await queue.readLog(id, { from: offset, limit: LOG_CHUNKS, ...attempt });
    return c.json(toLog(page, offset), 200);
  });

  app.openapi(add, async (c) => {
    const { jobs: requested, allowUnsatisfiable } = c.req.valid("json");
    if (requested.some(({ workflow }) => requireExec(c, workflow))) {
      throw problem("EXEC_ONLY_IN_RUNS");
    }
    const jobs: Awaited<ReturnType<typeof planJob>>[] = [];
    // One after the other: the answer is the problem of the first job that cannot be planned.
    for (const job of requested) {
      jobs.push({ ...(await planJob(job, { planner, defaultHost })), ...traceOf(c) });
    }
    const { verdict, impossible, refusal } = await checkSatisfiable(jobs, hub);
    const existing = allowUnsatisfiable ? [] : impossible;
    const added = await storeChecked(c, { queue, existing, refusal }, (audited) =>
      audited.enqueue(jobs),
    );
    onJobsAdded(jobs.flatMap(({ host }) => host ?? []));
    c.set("made", { jobIds: added.map(({ id }) => id) });
    const answered = added.map((job, index) => ({
      ...job,
      verdict: verdict.steps[index] as StepVerdict,
    }));
    return c.json({ jobs: answered }, 202);
  });

  return app;
}

const toJobSummary = (job: QueueJobSummary): JobSummary => withIsoDates(job);

const toItem = ({ claimedAt, ...item }: ItemSummary): Item =>
  withIsoDates({ ...item, startedAt: claimedAt });

/** A job as the API shows it. Fields that its state does not have are null. */
function toJob(job: QueueJob): Job {
  const { payload, ...shared } = job;
  const row = withIsoDates({
    targetHost: null,
    waitingReason: null,
    cancelRequestedAt: null,
    claimedAt: null,
    finishedAt: null,
    fence: null,
    placement: null,
    result: null,
    input: payload,
    ...shared,
  });
  // Drops the fields that only the queue needs.
  return jobSchema.parse(row);
}
