import {
  type AnyWorkflow,
  type ComputedOption,
  type Concurrency,
  checkConcurrency,
  checkHost,
  checkPreferences,
  findNonJson,
  InvalidInputError,
  isComputedWait,
  type JsonValue,
  type PlanContext,
  type PlannedJob,
  type Preference,
  parseClause,
  parseInput,
  planWait,
  printClause,
  type RunPlan,
  type Step,
  type WorkflowInput,
} from "@loom/workflow";
import { moduleCapability, workflowCapability } from "./views.ts";

/** A call of an author's function during planning. `input` stands for the schema of the input. */
export interface PlanCall {
  readonly step: string | null;
  readonly function: "input" | ComputedOption;
}

/** A run cannot be planned because of a fault in its workflow, not in its input. */
export class PlanError extends Error {
  override readonly name = "PlanError";
  readonly code = "PLAN_FAILED";
  readonly problem: string;
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
    this.problem = problem;
    this.workflow = workflow;
    this.step = step;
  }
}

/**
 * Converts a workflow and an input to the jobs of a run.
 *
 * Every job also requires `workflow:<name>@<version>`, which nodes offer that have exactly this code or accept code,
 * and each native module that the code needs.
 *
 * @param options.input - Checked by the workflow's schema. Default `{}`.
 * @param options.defaultHost - The preferred node of steps that neither require nor prefer
 * anything.
 * @param options.version - The digest of the workflow's bundle. Default: the version of the value.
 * @param options.externals - The native modules that the bundle needs.
 * @param options.onCall - Called before each function of the workflow's author.
 * @throws InvalidInputError when the input does not fit.
 * @throws PlanError when the workflow has no steps, its schema fails or returns a value that is not
 * JSON, or a step's clauses, `host`, `prefers` or `concurrency` fail.
 */
export function planRun<W extends AnyWorkflow>(
  workflow: W,
  {
    input,
    defaultHost,
    version = workflow.version,
    externals = [],
    onCall = () => {},
  }: {
    input?: WorkflowInput<W>;
    defaultHost?: string | undefined;
    version?: string;
    externals?: readonly string[];
    onCall?: (call: PlanCall) => void;
  } = {},
): RunPlan {
  if (workflow.steps.length === 0) {
    throw new PlanError("it has no steps", { workflow: workflow.name, step: null });
  }
  onCall({ step: null, function: "input" });
  const code = [workflowCapability(workflow.name, version), ...externals.map(moduleCapability)];
  const parsed = parse(workflow, input);
  return {
    workflow: workflow.name,
    version,
    input: parsed,
    rawInput: (input === undefined ? {} : input) as JsonValue,
    jobs: workflow.steps.map((step) => {
      try {
        return planJob(workflow, step, { input: parsed, defaultHost, code, onCall });
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
  {
    input,
    defaultHost,
    code,
    onCall,
  }: {
    input: JsonValue;
    defaultHost: string | undefined;
    code: readonly string[];
    onCall: (call: PlanCall) => void;
  },
): PlannedJob {
  const ask = <Value>(
    option: ComputedOption,
    value: Value | Computed<Value>,
  ): Value | undefined => {
    if (!isComputed(value)) return value;
    onCall({ step: step.name, function: option });
    return settled(option, value({ input }));
  };
  const wanted = [...workflow.requires, ...step.requires].map(canonical);
  const host = checkedHost("host", ask("host", step.host));
  return {
    step: step.name,
    after: step.after,
    requires: [...new Set([...wanted, ...code.map(canonical)])].sort(),
    host: host ?? null,
    prefers: withHint(
      checkedPreferences(ask("prefers", step.prefers)),
      checkedHost("hostHint", ask("hostHint", step.hostHint)),
      wanted.length === 0 && !host ? defaultHost : undefined,
    ),
    priority: step.priority,
    timeoutMs: step.timeoutMs,
    retry: step.retry,
    maxCrashRestarts: step.maxCrashRestarts,
    startWithinMs: step.startWithinMs,
    concurrency: limitOf(ask("concurrency", step.concurrency)),
    runsAfter: step.runsAfter,
    optional: step.optional,
    skip: step.skip,
    hasCondition: step.when !== null || (step.wait !== null && isComputedWait(step.wait)),
    ...(step.map !== null && { map: step.map }),
    ...(step.wait !== null && { wait: planWait(step.wait) }),
  };
}

/** Returns the canonical form of a clause, so that equal needs are equal texts. */
const canonical = (clause: string): string => printClause(parseClause(clause));

type Computed<Value> = (context: PlanContext) => Value | undefined;

const isComputed = <Value>(value: Value | Computed<Value>): value is Computed<Value> =>
  typeof value === "function";

/** Refuses a promise, which a function that is declared `async` returns. */
function settled<Value>(option: ComputedOption, value: Value): Value {
  if (!(value instanceof Promise)) return value;
  // No code waits for the promise, so its rejection must not end the process.
  value.catch(() => {});
  throw new TypeError(`${option} returned a promise: return the value itself`);
}

function checkedHost(
  option: "host" | "hostHint",
  host: string | null | undefined,
): string | undefined {
  if (host === null || host === undefined) return undefined;
  if (typeof host !== "string") throw new TypeError(`${option} is a ${typeof host}, not a name`);
  checkHost(option, host);
  return host;
}

const limitOf = (concurrency: Concurrency | null | undefined): Concurrency | null =>
  concurrency ? checkConcurrency(concurrency) : null;

function checkedPreferences(preferences: readonly Preference[] | undefined): Preference[] {
  if (!Array.isArray(preferences)) throw new TypeError("prefers is not a list");
  checkPreferences(preferences);
  // Any other property that the author added is not stored.
  return preferences.map(({ clause, weight }: Preference) => ({ clause, weight }));
}

/**
 * Returns the preferences of a step. A hint outweighs all others together. The default host counts
 * only if there is no other wish.
 */
function withHint(
  preferences: readonly Preference[],
  hostHint: string | undefined,
  defaultHost: string | undefined,
): readonly Preference[] {
  const hint = hostHint ?? (preferences.length === 0 ? defaultHost : undefined);
  if (hint === undefined) return preferences;
  const others = preferences.reduce((sum, { weight }) => sum + weight, 0);
  const clause = printClause({ kind: "compare", key: "node", operator: "=", value: hint });
  return [{ clause, weight: others + 1 }, ...preferences];
}

/**
 * Parses the input. A refusal is the input's fault. Anything else is the workflow's: the schema
 * throws, returns a promise, or returns a value that a step on another machine would not get.
 */
function parse(workflow: AnyWorkflow, input: unknown): JsonValue {
  let parsed: JsonValue;
  try {
    parsed = parseInput(workflow, input);
  } catch (cause) {
    if (cause instanceof InvalidInputError) throw cause;
    const isAsync = cause instanceof Error && cause.constructor.name === "$ZodAsyncError";
    const problem = isAsync
      ? "its input schema returns a promise: make its refinements and transforms synchronous"
      : `its input schema failed: ${cause instanceof Error ? cause.message : String(cause)}`;
    throw new PlanError(problem, { workflow: workflow.name, step: null, cause });
  }
  const invalid = findNonJson(parsed, { isExact: true });
  if (invalid === undefined) return parsed;
  const where = invalid.path === "" ? "" : ` at ${invalid.path}`;
  throw new PlanError(
    `its input schema makes something of the input${where} that cannot be kept: ${invalid.message}; return strings, numbers, booleans, null, lists and plain objects`,
    { workflow: workflow.name, step: null },
  );
}
