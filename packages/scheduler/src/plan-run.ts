import {
  type AnyWorkflow,
  type Concurrency,
  checkConcurrency,
  isPreference,
  type JsonValue,
  type PlannedJob,
  type Preference,
  parseInput,
  type RunPlan,
  type Step,
  type WorkflowInput,
} from "@loom/workflow";
import { nodeCapability, workflowCapability } from "./node-view.ts";
import { parseClause } from "./requirement/clause.ts";

/** A run cannot be planned, through a fault of its workflow and not of its input. */
export class PlanError extends Error {
  override readonly name = "PlanError";
  readonly code = "PLAN_FAILED";
  readonly workflow: string;
  readonly step: string | null;
  constructor(
    problem: string,
    { workflow, step, ...options }: { workflow: string; step: string | null } & ErrorOptions,
  ) {
    super(
      `workflow ${workflow}${step === null ? "" : `, step ${step}`} cannot be planned: ${problem}`,
      options,
    );
    this.workflow = workflow;
    this.step = step;
  }
}

/**
 * Turns a workflow and an input into the jobs of a run.
 *
 * Every job also requires `workflow:<name>`, which the nodes that have the workflow's code offer.
 *
 * @param options.input - Checked by the workflow's schema; left out, it counts as `{}`.
 * @throws InvalidInputError when the input does not fit.
 * @throws PlanError when the workflow has no steps, or a step's clauses, `host` or `prefers` fail.
 */
export function planRun<W extends AnyWorkflow>(
  workflow: W,
  { input }: { input?: WorkflowInput<W> } = {},
): RunPlan {
  if (workflow.steps.length === 0) {
    throw new PlanError("it has no steps", { workflow: workflow.name, step: null });
  }
  const parsed = parseInput(workflow, input);
  return {
    workflow: workflow.name,
    version: workflow.version,
    input: parsed,
    jobs: workflow.steps.map((step) => {
      try {
        return planJob(workflow, step, parsed);
      } catch (cause) {
        const problem = cause instanceof Error ? cause.message : String(cause);
        throw new PlanError(problem, { workflow: workflow.name, step: step.name, cause });
      }
    }),
  };
}

function planJob(workflow: AnyWorkflow, step: Step, input: JsonValue): PlannedJob {
  const { name, after, host, prefers, concurrency } = step;
  const requires = new Set([
    workflowCapability(workflow.name),
    ...workflow.requires,
    ...step.requires,
  ]);
  for (const clause of requires) parseClause(clause);
  return {
    step: name,
    after,
    requires: [...requires].sort(),
    host: hostOf(typeof host === "function" ? host({ input }) : host),
    prefers: preferencesOf(typeof prefers === "function" ? prefers({ input }) : prefers),
    priority: step.priority,
    timeoutMs: step.timeoutMs,
    retry: step.retry,
    maxCrashRestarts: step.maxCrashRestarts,
    startWithinMs: step.startWithinMs,
    concurrency: limitOf(typeof concurrency === "function" ? concurrency({ input }) : concurrency),
  };
}

/** Checks a host as the tag that its node would offer. */
function hostOf(host: string | null | undefined): string | null {
  if (host === undefined || host === null) return null;
  if (host === "") throw new RangeError("host is empty");
  parseClause(nodeCapability(host));
  return host;
}

const limitOf = (concurrency: Concurrency | null | undefined): Concurrency | null =>
  concurrency ? checkConcurrency(concurrency) : null;

function preferencesOf(preferences: readonly Preference[]): readonly Preference[] {
  if (!preferences.every(isPreference)) {
    throw new RangeError(
      "prefers returned a clause that is empty, or a weight that is not above 0",
    );
  }
  for (const { clause } of preferences) parseClause(clause);
  return preferences;
}
