import { createRoute, z } from "@hono/zod-openapi";
import { explainJob } from "../explain/explain-job.ts";
import { createRouter, type RouteDeps } from "../hub-context.ts";
import { answer } from "../json-content.ts";
import { actOnceFor, commonProblems, idempotencyHeaders, operation } from "../operation.ts";
import { ProblemError, problems } from "../problem.ts";
import { traceOf } from "../trace-requests.ts";
import {
  jobParams,
  jobState,
  jobSummaryView,
  jobView,
  toJobSummary,
  toJobView,
} from "../views/job.ts";
import { jobExplanationView } from "../views/job-explanation.ts";
import { pageOf, pageQuery, readCursor, toPage } from "../views/page.ts";
import { unknownNode } from "./nodes.ts";

const list = createRoute({
  ...operation("listJobs", "read"),
  method: "get",
  path: "/",
  summary: "Jobs, newest first: steps of runs, and jobs of their own",
  request: {
    query: z.strictObject({
      workflow: z.string().max(100).optional(),
      state: jobState.optional(),
      node: z.string().max(63).optional(),
      runId: z.string().max(100).optional(),
      ...pageQuery,
    }),
  },
  responses: {
    200: answer("A page of jobs", pageOf(jobSummaryView)),
    ...commonProblems,
    ...problems(422),
  },
});

const get = createRoute({
  ...operation("getJob", "read"),
  method: "get",
  path: "/{id}",
  summary: "A job, with what it was given and what it came to",
  request: { params: jobParams },
  responses: {
    200: answer("The job", jobView),
    ...commonProblems,
    ...problems(404, 422),
  },
});

const explain = createRoute({
  ...operation("explainJob", "read"),
  method: "get",
  path: "/{id}/explain",
  summary: "Why a job runs where it does, or does not run, as things are now",
  request: {
    params: jobParams,
    query: z.strictObject({
      node: z.string().max(63).optional().openapi({
        description: "Report of this node alone: for more than 50 nodes, which are told in groups",
      }),
    }),
  },
  responses: {
    200: answer("What placing would say of it now", jobExplanationView),
    ...commonProblems,
    ...problems(404, 422),
  },
});

const cancel = createRoute({
  ...operation("cancelJob", "run"),
  method: "post",
  path: "/{id}/cancel",
  summary: "Cancel a job; of a run, what depends on it is skipped",
  request: { params: jobParams, headers: idempotencyHeaders },
  responses: {
    202: answer(
      "`requested`: the node that runs it has to stop it. `finished`: there was nothing to cancel",
      z.object({ answer: z.enum(["cancelled", "requested", "finished"]) }),
    ),
    ...commonProblems,
    ...problems(404, 422),
  },
});

const redrive = createRoute({
  ...operation("redriveJob", "run"),
  method: "post",
  path: "/{id}/redrive",
  summary: "Add a copy of a failed or cancelled job that belongs to no run; one copy a job",
  request: { params: jobParams, headers: idempotencyHeaders },
  responses: {
    202: answer("The copy", z.object({ id: z.int() })),
    ...commonProblems,
    ...problems(404, 409, 422),
  },
});

/** Jobs that are there: steps of runs, and jobs of their own. */
export function jobRoutes({ queue, feed, onJobsAdded }: RouteDeps) {
  const app = createRouter();

  app.openapi(list, async (c) => {
    const { cursor, limit, ...rest } = c.req.valid("query");
    const filters = { list: "jobs", ...rest };
    const after = readCursor(cursor, filters, z.int().positive());
    const { jobs, next } = await queue.listJobs({ ...rest, after, limit });
    return c.json(toPage(c, jobs.map(toJobSummary), next, filters), 200);
  });

  app.openapi(get, async (c) =>
    c.json(toJobView(await queue.getJob(c.req.valid("param").id)), 200),
  );

  app.openapi(explain, async (c) => {
    const wait = await queue.weighJob(c.req.valid("param").id);
    const { node } = c.req.valid("query");
    const nodes = await queue.listNodes();
    const names = nodes.map(({ name }) => name);
    if (node !== undefined && !names.includes(node)) throw unknownNode(node, names);
    return c.json(explainJob(wait, nodes, node), 200);
  });

  app.openapi(cancel, async (c) => {
    const { id } = c.req.valid("param");
    // One that is not there is no deed to write down.
    await queue.getJob(id);
    const [cancelled] = await (await actOnceFor(c, queue)).cancel([id]);
    feed.ring();
    // Pruned since: what is removed was finished.
    const given = cancelled?.answer ?? "unknown";
    return c.json({ answer: given === "unknown" ? ("finished" as const) : given }, 202);
  });

  app.openapi(redrive, async (c) => {
    const { id } = c.req.valid("param");
    const job = await queue.getJob(id);
    if (job.runId !== null || (job.state !== "failed" && job.state !== "cancelled")) {
      throw nothingToRedrive(id);
    }
    const [copy] = await (await actOnceFor(c, queue)).redrive([id], traceOf(c));
    if (typeof copy?.redrivenAs !== "number") throw nothingToRedrive(id);
    onJobsAdded();
    return c.json({ id: copy.redrivenAs }, 202);
  });

  return app;
}

const nothingToRedrive = (id: number): ProblemError =>
  new ProblemError({
    title: "Nothing to redrive",
    status: 409,
    code: "NOTHING_TO_REDRIVE",
    detail: `job ${id} is not a failed or cancelled job of its own`,
    hint: "retry the run that a step belongs to: POST /api/loom/runs/{id}/retry",
  });
