import { createRoute, OpenAPIHono, z } from "@hono/zod-openapi";
import { planRun, suggestNames } from "@loom/scheduler";
import type { AnyWorkflow } from "@loom/workflow";
import type { HubDeps } from "../create-hub.ts";
import { UnknownWorkflowError } from "../errors.ts";
import { invalidRequest } from "../invalid-request.ts";
import { problemResponse } from "../problem.ts";

/** Deeper ones overflow the stack of what parses and prints them. */
const MAX_DEPTH = 100;

const isShallow = (value: unknown, depth = MAX_DEPTH): boolean =>
  typeof value !== "object" ||
  value === null ||
  (depth > 0 && Object.values(value).every((inner) => isShallow(inner, depth - 1)));

const runRequest = z.strictObject({
  input: z
    .unknown()
    .refine((input) => isShallow(input), `nests deeper than ${MAX_DEPTH} levels`)
    .optional()
    .openapi({ description: "What the workflow's schema asks for; `{}` where it is left out" }),
  key: z
    .string()
    .regex(/^\P{C}{1,300}$/u, "a key has 1 to 300 printable characters")
    .optional()
    .openapi({ description: "A second request with this key answers with the first one's run" }),
});

const runRoute = createRoute({
  method: "post",
  path: "/{workflow}/run",
  summary: "Start a run",
  request: {
    params: z.object({ workflow: z.string() }),
    body: { required: false, content: { "application/json": { schema: runRequest } } },
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
    ...problemResponse,
  },
});

/** Workflows, in the interface also called strands. */
export const strandRoutes = ({ queue, workflows, onRunStarted }: HubDeps) =>
  new OpenAPIHono({ defaultHook: invalidRequest }).openapi(runRoute, async (c) => {
    const { input, key } = c.req.valid("json");
    const plan = planRun(findWorkflow(c.req.valid("param").workflow, workflows), { input });
    const started = await queue.startRun(plan, { trigger: "api", ...(key && { key }) });
    onRunStarted?.(plan);
    const links = { self: `/api/loom/runs/${started.runId}` };
    return c.json({ ...started, links }, 202, { location: links.self });
  });

function findWorkflow(name: string, workflows: ReadonlyMap<string, AnyWorkflow>): AnyWorkflow {
  const workflow = workflows.get(name);
  if (workflow) return workflow;
  const known = [...workflows.keys()].sort();
  throw new UnknownWorkflowError(name, known, suggestNames(name, known));
}
