import { createRoute, z } from "@hono/zod-openapi";
import { explainJob } from "../explain/explain-job.ts";
import { allowUnsatisfiable, judgePlan } from "../explain/judge-plan.ts";
import { createRouter, type RouteDeps } from "../hub-context.ts";
import { answer, json } from "../json-content.ts";
import { jsonValue } from "../json-value.ts";
import { actOnceFor, commonProblems, idempotencyHeaders, operation } from "../operation.ts";
import { planJob } from "../plan-job.ts";
import { ProblemError, problems } from "../problem.ts";
import { storeJudged } from "../store-judged.ts";
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
import { logView, toLogPart } from "../views/log.ts";
import { pageOf, pageQuery, readCursor, toPage } from "../views/page.ts";
import { type StepVerdict, stepVerdictView } from "../views/verdict.ts";
import { unknownNode } from "./nodes.ts";

/** Of a log that one answer holds, as chunks of at most 256 KiB. */
const CHUNKS = 16;

const list = createRoute({
  ...operation("listJobs", "read"),
  method: "get",
  path: "/",
  summary: "Jobs, newest first: steps of runs, and jobs of their own",
  request: {
    query: z.object({
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
    query: z.object({
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

const newJob = z.strictObject({
  workflow: z.string().max(100),
  step: z.string().max(100),
  input: jsonValue.optional(),
  key: z
    .string()
    .regex(/^\P{C}{1,300}$/u, "a key has 1 to 300 printable characters")
    .optional()
    .openapi({ description: "A workflow has one job of a key: asking again answers with it" }),
  host: z
    .string()
    .regex(/^[a-z0-9][a-z0-9._-]{0,62}$/, "not the name of a node")
    .optional()
    .openapi({ description: "Pins it to a node" }),
  priority: z.int().min(0).max(1_000).optional(),
  delayMs: z.int().min(0).max(31_536_000_000).optional(),
  startWithinMs: z.int().min(1).max(2_147_483_647).optional(),
});

const add = createRoute({
  ...operation("addJobs", "run"),
  method: "post",
  path: "/",
  summary: "Run steps of workflows on their own, without the others; all or none",
  request: {
    headers: idempotencyHeaders,
    body: {
      required: true,
      ...json(z.strictObject({ jobs: z.array(newJob).min(1).max(1_000), allowUnsatisfiable })),
    },
  },
  responses: {
    202: answer(
      "They are stored, in the same order",
      z.object({
        jobs: z.array(
          z.object({
            id: z.int(),
            returned: z.enum(["created", "existing"]),
            verdict: stepVerdictView,
          }),
        ),
      }),
    ),
    ...commonProblems,
    ...problems(400, 404, 413, 415, 422),
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

const log = createRoute({
  ...operation("getJobLog", "read"),
  method: "get",
  path: "/{id}/logs",
  summary: "A job's output from a byte on",
  request: {
    params: jobParams,
    query: z.object({
      offset: z.coerce
        .number()
        .int()
        .min(0)
        .max(2_147_483_647)
        .default(0)
        .openapi({ type: "integer" }),
      fence: z.coerce.number().int().min(0).max(2_147_483_647).optional().openapi({
        type: "integer",
        description: "The claim whose output to read; the newest where it is left out",
      }),
    }),
  },
  responses: {
    200: answer("The output, up to 4 MiB of it", logView),
    ...commonProblems,
    ...problems(404, 422),
  },
});

export function jobRoutes(deps: RouteDeps) {
  const { queue, workflows, defaultHost, feed, onJobsAdded } = deps;
  const app = createRouter();

  app.openapi(list, async (c) => {
    const { cursor, limit, ...rest } = c.req.valid("query");
    const filters = { list: "jobs", ...rest };
    const place = readCursor(cursor, filters);
    const after = place === undefined ? undefined : Number(place);
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

  app.openapi(add, async (c) => {
    const { jobs: asked, allowUnsatisfiable: isAllowed } = c.req.valid("json");
    const jobs = asked.map((job) => ({
      ...planJob(job, { workflows, defaultHost }),
      ...traceOf(c),
    }));
    const { verdict, impossible, refusal } = await judgePlan(jobs, deps);
    const existing = isAllowed ? [] : impossible;
    const added = await storeJudged(c, { queue, existing, refusal }, (acting) =>
      acting.enqueue(jobs),
    );
    onJobsAdded(jobs.flatMap(({ host }) => host ?? []));
    c.set("made", { jobIds: added.map(({ id }) => id) });
    const answered = added.map((job, index) => ({
      ...job,
      verdict: verdict.steps[index] as StepVerdict,
    }));
    return c.json({ jobs: answered }, 202);
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

  app.openapi(log, async (c) => {
    const { id } = c.req.valid("param");
    const { offset, fence } = c.req.valid("query");
    await queue.getJob(id);
    const page = await queue.readLog(id, {
      from: offset,
      limit: CHUNKS,
      ...(fence !== undefined && { fence }),
    });
    return c.json(toLogPart(page, offset), 200);
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
