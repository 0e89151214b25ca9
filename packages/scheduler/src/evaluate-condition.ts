import {
  type AnyWorkflow,
  checkKey,
  findNonJson,
  InvalidInputError,
  type JsonValue,
  limits,
  parseWith,
  type Step,
  toInstant,
  type WaitPolicy,
} from "@loom/workflow";

/** A function of a suspended step that its author wrote. */
export type StepFunction = "when" | "until" | "key" | "show" | "schema" | "input";

/** The codes with which a step fails when a function of its author does. */
const CODES = {
  when: "CONDITION_FAILED",
  until: "WAIT_FAILED",
  key: "WAIT_FAILED",
  show: "WAIT_FAILED",
  schema: "SIGNAL_INVALID",
  input: "WAIT_FAILED",
} as const;

/** A function of a suspended step threw, or did not return what it should. */
export class ConditionError extends Error {
  override readonly name = "ConditionError";
  readonly code: (typeof CODES)[StepFunction];
  readonly workflow: string;
  readonly step: string;
  readonly function: StepFunction;
  readonly problem: string;
  constructor(
    problem: string,
    {
      workflow,
      step,
      function: called,
      ...options
    }: { workflow: string; step: string; function: StepFunction } & ErrorOptions,
  ) {
    super(`workflow ${workflow}, step ${step}: ${called} ${problem}`, options);
    this.code = CODES[called];
    this.workflow = workflow;
    this.step = step;
    this.function = called;
    this.problem = problem;
  }
}

/** What the functions of a suspended step decided. */
export type StepEvaluation =
  | { readonly outcome: "skips" }
  /** It runs or, where no node runs it, waits for what its functions returned. */
  | {
      readonly outcome: "runs";
      readonly until?: string;
      readonly key?: string;
      readonly shown?: JsonValue;
    }
  /** Its schema made this of the signal that came. */
  | { readonly outcome: "ends"; readonly result: JsonValue };

/** The facts that the functions of a suspended step read. */
export interface StepFacts {
  readonly input: JsonValue;
  readonly results: Readonly<Record<string, JsonValue>>;
  /** The signal that came, as JSON; null: its schema is not asked. */
  readonly payload?: string | null;
}

/**
 * Calls the functions of a suspended step: its condition, and what it waits for. If a signal has come, its schema only.
 *
 * @param onCall - Called before each function.
 * @throws ConditionError
 */
export function evaluateStep(
  workflow: AnyWorkflow,
  name: string,
  { payload = null, ...facts }: StepFacts,
  onCall: (called: StepFunction) => void = () => {},
): StepEvaluation {
  const step = findStep(workflow, name);
  const call = caller(workflow, step, onCall);
  if (payload !== null) {
    const schema = step.wait?.kind === "signal" ? step.wait.schema : null;
    if (schema === null) return { outcome: "ends", result: JSON.parse(payload) as JsonValue };
    return call("schema", () => {
      const parsed = parseWith(schema, JSON.parse(payload), { workflow: workflow.name });
      return { outcome: "ends", result: checkJson(parsed) };
    });
  }
  if (step.when !== null) {
    const { when } = step;
    const runs = call("when", () => {
      const answer: unknown = when(facts);
      if (typeof answer === "boolean") return answer;
      throw new Returned(answer, "return true or false");
    });
    if (!runs) return { outcome: "skips" };
  }
  return { outcome: "runs", ...(step.wait && factsOf(step.wait, facts, call)) };
}

/**
 * Parses what a person typed in beside a decision.
 *
 * @throws InvalidInputError when it does not fit.
 * @throws ConditionError when the schema fails, or the step asks for no approval.
 */
export function parseApprovalInput(
  workflow: AnyWorkflow,
  name: string,
  input: JsonValue,
): JsonValue {
  const step = findStep(workflow, name);
  const { wait } = step;
  if (wait?.kind !== "approval") {
    throw new ConditionError("is not there: the step asks for no approval", {
      ...{ workflow: workflow.name, step: name },
      function: "input",
    });
  }
  const { input: schema } = wait;
  if (schema === null) return null;
  const place = { workflow: workflow.name };
  return caller(workflow, step)("input", () => checkJson(parseWith(schema, input, place)));
}

type Call = <Result>(called: StepFunction, call: () => Result) => Result;

function factsOf(wait: WaitPolicy, facts: Omit<StepFacts, "payload">, call: Call): object {
  if (wait.kind === "sleep" && "until" in wait && typeof wait.until === "function") {
    const { until } = wait;
    return { until: call("until", () => toInstant("what it returned", until(facts))) };
  }
  if (wait.kind === "signal" && typeof wait.key === "function") {
    const { key } = wait;
    return { key: call("key", () => checkKey(key(facts))) };
  }
  if (wait.kind === "approval" && wait.show !== null) {
    const { show } = wait;
    return {
      shown: call("show", () => {
        const shown = checkJson(show(facts));
        const bytes = Buffer.byteLength(JSON.stringify(shown));
        if (bytes <= limits.shownBytes) return shown;
        throw new RangeError(`it shows ${bytes} bytes as JSON, of at most ${limits.shownBytes}`);
      }),
    };
  }
  return {};
}

function checkJson(value: unknown): JsonValue {
  if (value instanceof Promise) throw new Returned(value, "return the value itself");
  const found = findNonJson(value, { isExact: true });
  if (found === undefined) return value as JsonValue;
  const where = found.path === "" ? "" : ` at ${found.path}`;
  throw new RangeError(`what it returned cannot be kept${where}: ${found.message}`);
}

/** A function returned something else than it should. */
class Returned extends Error {
  constructor(value: unknown, fix: string) {
    // No code waits for the promise, so its rejection must not end the process.
    if (value instanceof Promise) value.catch(() => {});
    const what = value instanceof Promise ? "a promise" : value === null ? "null" : typeof value;
    super(`${what}: ${fix}`);
  }
}

function findStep(workflow: AnyWorkflow, name: string): Step {
  const found = workflow.steps.find((step) => step.name === name);
  if (found) return found;
  throw new ConditionError("is not there: the workflow has no such step", {
    ...{ workflow: workflow.name, step: name },
    function: "when",
  });
}

/** Calls functions of the step, and says which one failed and how. */
function caller(
  workflow: AnyWorkflow,
  step: Step,
  onCall: (called: StepFunction) => void = () => {},
): Call {
  return (called, call) => {
    onCall(called);
    try {
      return call();
    } catch (cause) {
      if (called === "input" && cause instanceof InvalidInputError) throw cause;
      throw new ConditionError(describe(cause), {
        ...{ workflow: workflow.name, step: step.name, function: called, cause },
      });
    }
  };
}

function describe(cause: unknown): string {
  if (cause instanceof InvalidInputError) {
    const [first] = cause.issues;
    return `refuses the signal: ${first?.path ? `${first.path}: ` : ""}${first?.message}`;
  }
  const message = cause instanceof Error ? cause.message : String(cause);
  return cause instanceof Returned ? `returned ${message}` : `threw: ${message}`;
}
