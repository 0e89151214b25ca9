import { z } from "@hono/zod-openapi";
import type { PausedWorkflow } from "@loom/queue";
import type { AnyWorkflow } from "@loom/workflow";
import { type PlanVerdict, planVerdictView } from "./verdict.ts";

const paused = z.object({ note: z.string().nullable(), since: z.iso.datetime() });

const schedule = z.object({
  expression: z.string(),
  timeZone: z.string(),
  input: z.unknown(),
});

export const strandSummaryView = z
  .object({
    name: z.string(),
    /** Changes with its steps' options and code. */
    version: z.string(),
    steps: z.array(z.string()),
    requires: z.array(z.string()),
    schedule: schedule.nullable(),
    /** While it is, its steps are neither placed nor claimed. */
    paused: paused.nullable(),
  })
  .openapi("StrandSummary");

const stepDefinition = z
  .object({
    name: z.string(),
    after: z.array(z.string()),
    requires: z.array(z.string()),
    /** The node that it is pinned to; `from input` where each run's input decides. */
    host: z.string().nullable(),
    prefers: z.union([
      z.literal("from input"),
      z.array(z.object({ clause: z.string(), weight: z.number() })),
    ]),
    priority: z.int(),
    timeoutMs: z.int(),
    attempts: z.int(),
    maxCrashRestarts: z.int(),
    /** How long after it is ready it is still worth starting. */
    startWithinMs: z.int().nullable(),
    concurrency: z
      .union([z.literal("from input"), z.object({ key: z.string(), limit: z.int() })])
      .nullable(),
  })
  .openapi("StepDefinition");

export const strandView = z
  .object({
    ...strandSummaryView.shape,
    steps: z.array(stepDefinition),
    /** JSON Schema of the input; `{}` where the schema cannot be said in it. */
    inputSchema: z.record(z.string(), z.unknown()),
    /** What would become of each step now; of a host that each run's input decides it knows nothing. */
    canRun: planVerdictView,
  })
  .openapi("Strand");

const scheduleOf = ({ schedule: given }: AnyWorkflow) =>
  given && { expression: given.expression, timeZone: given.timeZone, input: given.input };

const pausedOf = (since: PausedWorkflow | undefined) =>
  since ? { note: since.note, since: since.pausedAt.toISOString() } : null;

export const toStrandSummary = (
  workflow: AnyWorkflow,
  since: PausedWorkflow | undefined,
): z.output<typeof strandSummaryView> => ({
  name: workflow.name,
  version: workflow.version,
  steps: workflow.steps.map(({ name }) => name),
  requires: [...new Set([workflow, ...workflow.steps].flatMap(({ requires }) => requires))].sort(),
  schedule: scheduleOf(workflow),
  paused: pausedOf(since),
});

export const toStrandView = (
  workflow: AnyWorkflow,
  { since, canRun }: { since: PausedWorkflow | undefined; canRun: PlanVerdict },
): z.output<typeof strandView> => ({
  ...toStrandSummary(workflow, since),
  requires: [...workflow.requires],
  steps: workflow.steps.map((step) => ({
    name: step.name,
    after: [...step.after],
    requires: [...step.requires],
    host: typeof step.host === "function" ? "from input" : step.host,
    prefers: typeof step.prefers === "function" ? ("from input" as const) : [...step.prefers],
    priority: step.priority,
    timeoutMs: step.timeoutMs,
    attempts: step.retry.attempts,
    maxCrashRestarts: step.maxCrashRestarts,
    startWithinMs: step.startWithinMs,
    concurrency:
      typeof step.concurrency === "function" ? ("from input" as const) : step.concurrency,
  })),
  inputSchema: schemaOf(workflow),
  canRun,
});

function schemaOf({ input }: AnyWorkflow): Record<string, unknown> {
  return z.toJSONSchema(input, { io: "input", unrepresentable: "any" }) as Record<string, unknown>;
}
