import {
  type AnyWorkflow,
  type Concurrency,
  checkConcurrency,
  checkHost,
  checkPreferences,
  type JsonValue,
  type PlannedJob,
  type Preference,
  parseClause,
  parseInput,
  printClause,
  type RunPlan,
  type Step,
  type WorkflowInput,
} from "@loom/workflow";
import { workflowCapability } from "./node-view.ts";

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
 * Every job also requires `workflow:<name>@<version>`, which the nodes that have this very code offer.
 *
 * @param options.input - Checked by the workflow's schema; left out, it counts as `{}`.
 * @param options.defaultHost - The node that is preferred for steps that neither require nor prefer anything.
 * @throws InvalidInputError when the input does not fit.
 * @throws PlanError when the workflow has no steps, or a step's clauses, `host` or `prefers` fail.
 */
export function planRun<W extends AnyWorkflow>(
  workflow: W,
  { input, defaultHost }: { input?: WorkflowInput<W>; defaultHost?: string | undefined } = {},
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
        return planJob(workflow, step, { input: parsed, defaultHost });
      } catch (cause) {
        const problem = cause instanceof Error ? cause.message : String(cause);
        throw new PlanError(problem, { workflow: workflow.name, step: step.name, cause });
      }
    }),
  };
}

function planJob(
  workflow: AnyWorkflow,
  step: Step,
  { input, defaultHost }: { input: JsonValue; defaultHost: string | undefined },
): PlannedJob {
  const { concurrency } = step;
  const wanted = [...workflow.requires, ...step.requires].map(canonical);
  const host = nodeOf("host", step.host, input);
  return {
    step: step.name,
    after: step.after,
    requires: [...new Set([...wanted, workflowCapability(workflow.name, workflow.version)])].sort(),
    host: host ?? null,
    prefers: preferencesOf(step, input, wanted.length === 0 && !host ? defaultHost : undefined),
    priority: step.priority,
    timeoutMs: step.timeoutMs,
    retry: step.retry,
    maxCrashRestarts: step.maxCrashRestarts,
    startWithinMs: step.startWithinMs,
    concurrency: limitOf(typeof concurrency === "function" ? concurrency({ input }) : concurrency),
  };
}

/** The one form of a clause, so that equal needs are equal texts. */
const canonical = (clause: string): string => printClause(parseClause(clause));

function nodeOf(
  option: "host" | "hostHint",
  host: Step["host"],
  input: JsonValue,
): string | undefined {
  const name = (typeof host === "function" ? host({ input }) : host) ?? undefined;
  if (name !== undefined) checkHost(option, name);
  return name;
}

const limitOf = (concurrency: Concurrency | null | undefined): Concurrency | null =>
  concurrency ? checkConcurrency(concurrency) : null;

/** What a step prefers. A hint outweighs all the rest together; the default counts where there is no wish. */
function preferencesOf(
  { prefers, hostHint }: Step,
  input: JsonValue,
  defaultHost: string | undefined,
): readonly Preference[] {
  const preferences = typeof prefers === "function" ? prefers({ input }) : prefers;
  checkPreferences(preferences);
  const hint =
    nodeOf("hostHint", hostHint, input) ?? (preferences.length === 0 ? defaultHost : undefined);
  if (hint === undefined) return preferences;
  const others = preferences.reduce((sum, { weight }) => sum + weight, 0);
  const clause = printClause({ kind: "compare", key: "node", operator: "=", value: hint });
  return [{ clause, weight: others + 1 }, ...preferences];
}
