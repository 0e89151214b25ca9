import type { NewJob } from "@loom/client";
import { problem } from "@loom/http";
import type { Queue, NewJob as QueueNewJob, RetriedStep, RetrySelection, Run } from "@loom/queue";
import type { Planner } from "@loom/worker";
import type { WorkflowManifest } from "@loom/workflow";
import type { HubContext } from "./hub-context.ts";

/** How long a request waits for files that are being imported, in milliseconds. */
const LOADING_MS = 10_000;

/**
 * Finds a workflow by its name. While it may be in a file that is being imported, the request waits for it: somebody
 * who has just started the hub need not try again.
 *
 * @throws ProblemError `UNKNOWN_WORKFLOW`; `WORKFLOWS_LOADING` if an import takes longer than `waitMs` (default 10 000).
 */
export async function findWorkflow(
  name: string,
  planner: Pick<Planner, "workflows" | "loading" | "onChange">,
  { waitMs = LOADING_MS } = {},
): Promise<WorkflowManifest> {
  const { workflows } = planner;
  if (!workflows.has(name) && planner.loading.length > 0) await untilLoaded(name, planner, waitMs);
  const workflow = workflows.get(name);
  if (workflow) return workflow;
  if (planner.loading.length > 0) throw problem("WORKFLOWS_LOADING", name, planner.loading);
  throw problem("UNKNOWN_WORKFLOW", name, [...workflows.keys()].sort());
}

/** Resolves once the workflow is known or no file is being imported, at the latest after so many milliseconds. */
async function untilLoaded(
  name: string,
  planner: Pick<Planner, "workflows" | "loading" | "onChange">,
  waitMs: number,
): Promise<void> {
  const loaded = Promise.withResolvers<void>();
  const timer = setTimeout(loaded.resolve, waitMs);
  const stop = planner.onChange(() => {
    if (planner.workflows.has(name) || planner.loading.length === 0) loaded.resolve();
  });
  await loaded.promise;
  clearTimeout(timer);
  stop();
}

/**
 * Plans one step of a workflow as a single job. Fields that the request leaves out come from the workflow.
 *
 * @throws InvalidInputError, PlanError, and ProblemError `UNKNOWN_WORKFLOW`, `UNKNOWN_STEP`; `INVALID_REQUEST` for a step that maps or waits.
 */
export async function planJob(
  requested: NewJob,
  { planner, defaultHost }: Pick<HubContext, "planner" | "defaultHost">,
): Promise<QueueNewJob & { requires: readonly string[] }> {
  const { name } = await findWorkflow(requested.workflow, planner);
  const plan = await planner.plan(name, { input: requested.input, defaultHost });
  const planned = plan.jobs.find(({ step }) => step === requested.step);
  if (!planned) {
    const steps = plan.jobs.map(({ step }) => step);
    throw problem("UNKNOWN_STEP", name, requested.step, steps);
  }
  if (planned.map) {
    const message = `${requested.step} maps over a list, which only a run of ${name} has: start a run`;
    throw problem("INVALID_REQUEST", "addJobs", [{ path: "step", message }]);
  }
  if (planned.wait) {
    const message = `${requested.step} waits, which only a step of a run can: start a run of ${name}`;
    throw problem("INVALID_REQUEST", "addJobs", [{ path: "step", message }]);
  }
  const { requires, prefers, timeoutMs, retry, maxCrashRestarts, concurrency } = planned;
  const host = requested.host ?? planned.host ?? undefined;
  const { key, delayMs } = requested;
  const startWithinMs = requested.startWithinMs ?? planned.startWithinMs ?? undefined;
  return {
    workflow: requested.workflow,
    step: requested.step,
    input: plan.input,
    requires,
    prefers,
    priority: requested.priority ?? planned.priority,
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

/**
 * The steps that a retry will store, so that they can be checked first.
 *
 * @throws ProblemError `UNKNOWN_STEP`
 */
export async function planRetry(
  run: Run,
  { queue, ...selection }: { queue: Queue; version: string } & RetrySelection,
): Promise<RetriedStep[]> {
  const steps = run.jobs.map(({ step }) => step);
  if (selection.mode === "from" && !steps.includes(selection.step)) {
    throw problem("UNKNOWN_STEP", run.workflow, selection.step, steps);
  }
  return queue.previewRetry(run.id, selection);
}
