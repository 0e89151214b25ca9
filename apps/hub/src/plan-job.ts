import type { NewJob } from "@loom/queue";
import { planRun, suggestNames } from "@loom/scheduler";
import { findWorkflow } from "./find-workflow.ts";
import type { RouteDeps } from "./hub-context.ts";
import { ProblemError } from "./problem.ts";

/** A step to run on its own, as somebody asks for it. */
export interface AskedJob {
  workflow: string;
  step: string;
  input?: unknown;
  key?: string | undefined;
  host?: string | undefined;
  priority?: number | undefined;
  delayMs?: number | undefined;
  startWithinMs?: number | undefined;
}

/**
 * A step of a workflow as a job of its own: what is not asked for is as its author says.
 *
 * @throws UnknownWorkflowError, InvalidInputError, PlanError, and ProblemError `UNKNOWN_STEP`.
 */
export function planJob(
  asked: AskedJob,
  { workflows, defaultHost }: Pick<RouteDeps, "workflows" | "defaultHost">,
): NewJob & { requires: readonly string[] } {
  const workflow = findWorkflow(asked.workflow, workflows);
  const plan = planRun(workflow, { input: asked.input, defaultHost });
  const planned = plan.jobs.find(({ step }) => step === asked.step);
  if (!planned)
    throw unknownStep(
      asked,
      plan.jobs.map(({ step }) => step),
    );
  const { requires, prefers, timeoutMs, retry, maxCrashRestarts, concurrency } = planned;
  const host = asked.host ?? planned.host ?? undefined;
  const { key, delayMs } = asked;
  const startWithinMs = asked.startWithinMs ?? planned.startWithinMs ?? undefined;
  return {
    workflow: asked.workflow,
    step: asked.step,
    input: plan.input,
    requires,
    prefers,
    priority: asked.priority ?? planned.priority,
    timeoutMs,
    retry,
    maxCrashRestarts,
    ...(concurrency !== null && { concurrency }),
    ...(key !== undefined && { key }),
    ...(host !== undefined && { host }),
    ...(delayMs !== undefined && { delayMs }),
    ...(startWithinMs !== undefined && { startWithinMs }),
  };
}

function unknownStep({ workflow, step }: AskedJob, known: string[]): ProblemError {
  const suggestions = suggestNames(step, known);
  const meant = suggestions.length > 0 ? `; did you mean ${suggestions.join(" or ")}?` : "";
  return new ProblemError({
    title: "Unknown step",
    status: 404,
    code: "UNKNOWN_STEP",
    detail: `workflow ${workflow} has no step ${step}${meant}`,
    hint: `its steps: ${known.join(", ")}`,
    suggestions,
  });
}
