import { createRoute, z } from "@hono/zod-openapi";
import { allowUnsatisfiable, judgePlan } from "../explain/judge-plan.ts";
import { createRouter, type RouteDeps } from "../hub-context.ts";
import { answer, json } from "../json-content.ts";
import { jsonValue } from "../json-value.ts";
import { commonProblems, idempotencyHeaders, operation } from "../operation.ts";
import { planJob } from "../plan-job.ts";
import { problems } from "../problem.ts";
import { storeJudged } from "../store-judged.ts";
import { traceOf } from "../trace-requests.ts";
import { type StepVerdict, stepVerdictView } from "../views/verdict.ts";

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

/** Steps of workflows that somebody runs on their own. */
export function newJobRoutes(deps: RouteDeps) {
  const { queue, workflows, defaultHost, onJobsAdded } = deps;
  const app = createRouter();

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

  return app;
}
