import { createRoute, OpenAPIHono, z } from "@hono/zod-openapi";
import { planRun } from "@loom/scheduler";
import type { AnyWorkflow } from "@loom/workflow";
import { closest, distance } from "fastest-levenshtein";
import type { HubDeps } from "../create-hub.ts";
import { UnknownWorkflowError } from "../errors.ts";
import { invalidRequest } from "../invalid-request.ts";
import { problemSchema } from "../problem.ts";

const problem = { content: { "application/problem+json": { schema: problemSchema } } };

const runRoute = createRoute({
  method: "post",
  path: "/{workflow}/run",
  summary: "Start a run",
  request: {
    params: z.object({ workflow: z.string() }),
    body: {
      required: false,
      content: {
        "application/json": {
          schema: z.strictObject({
            /** What the workflow's schema asks for; `{}` where it is left out. */
            input: z.unknown().optional(),
            /** A second request with this key answers with the first one's run. */
            key: z.string().min(1).max(300).optional(),
          }),
        },
      },
    },
  },
  responses: {
    202: {
      description: "The run was stored; a worker will run it",
      content: {
        "application/json": {
          schema: z.object({
            runId: z.string(),
            returned: z.enum(["created", "existing"]),
            links: z.object({ self: z.string() }),
          }),
        },
      },
    },
    401: { description: "No or wrong token", ...problem },
    404: { description: "Unknown workflow", ...problem },
    422: { description: "The input does not fit", ...problem },
  },
});

/** Workflows, in the interface also called strands. */
export const strandRoutes = ({ queue, workflows, onRunStarted }: HubDeps) =>
  new OpenAPIHono({ defaultHook: invalidRequest }).openapi(runRoute, async (c) => {
    const workflow = findWorkflow(c.req.valid("param").workflow, workflows);
    const { input, key } = c.req.valid("json") ?? {};
    const plan = planRun(workflow, { input: input ?? {} });
    const started = await queue.startRun(plan, { trigger: "api", ...(key && { key }) });
    onRunStarted?.();
    const links = { self: `/api/loom/runs/${started.runId}` };
    return c.json({ ...started, links }, 202, { location: links.self });
  });

function findWorkflow(name: string, workflows: ReadonlyMap<string, AnyWorkflow>): AnyWorkflow {
  const workflow = workflows.get(name);
  if (workflow) return workflow;
  const known = [...workflows.keys()].sort();
  const nearest = known.length > 0 ? closest(name, known) : undefined;
  const isNear = nearest !== undefined && distance(name, nearest) <= Math.max(2, name.length / 3);
  throw new UnknownWorkflowError(name, known, isNear ? [nearest] : []);
}
