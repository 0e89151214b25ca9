import {
  ConditionError,
  evaluateStep,
  PlanError,
  parseApprovalInput,
  planRun,
  type StepEvaluation,
} from "@loom/scheduler";
import {
  type AnyWorkflow,
  type JsonValue,
  type RunPlan,
  toManifest,
  type WorkflowManifest,
} from "@loom/workflow";
import type { WorkflowCall } from "./messages.ts";
import type { WorkflowProblem } from "./workflow-problem.ts";

/**
 * Knows workflows by their manifests, and calls their authors' code for a plan.
 *
 * A hub needs only this: it neither imports a workflow file nor calls an author's function itself.
 */
export interface Planner {
  /** The known workflows by name. Files that take long to import add theirs later. */
  readonly workflows: ReadonlyMap<string, WorkflowManifest>;
  /** The files, or parts of files, that cannot be used, each with the reason. */
  readonly problems: readonly WorkflowProblem[];
  /** Changes with `workflows` and `problems`. */
  readonly revision: number;
  /** Files that are still being imported. */
  readonly loading: readonly string[];
  /** Resolves when no file is being imported. */
  readonly loaded: Promise<void>;
  /** Calls the listener whenever `revision` changes, until the returned function is called. */
  onChange(listener: () => void): () => void;
  /**
   * Plans a run: parses the input and calls the functions that compute host, preferences and
   * concurrency.
   *
   * @param workflow - One of `workflows`.
   * @throws InvalidInputError when the input does not fit.
   * @throws PlanError when the workflow's code throws or returns an unusable value.
   * @throws WorkflowCodeError when the code does not answer in time, or ends its process.
   * @throws PlannerBusyError when too many requests wait.
   */
  plan(
    workflow: string,
    options?: { input?: unknown; defaultHost?: string | undefined },
  ): Promise<RunPlan>;
  /**
   * Calls the functions of a suspended step: its condition, and what it waits for; or its schema, for a signal.
   *
   * @param step - A step of a run, with the version of the workflow's code that the run belongs to.
   * @throws ConditionError when one of them throws, or does not return what it should.
   * @throws WorkflowCodeError when the code does not answer in time, or ends its process.
   * @throws PlannerBusyError when too many requests wait.
   * @throws Error when the code of that version cannot be had now.
   */
  decide(step: ConditionFacts): Promise<StepEvaluation>;
  /**
   * Parses what a person typed in beside a decision, with the schema of the step that asked.
   *
   * @throws InvalidInputError when it does not fit; and as `decide`.
   */
  parse(step: StepCode & { readonly input: JsonValue }): Promise<JsonValue>;
  /** Ends all processes. The planner cannot be used afterwards. */
  close(): Promise<void>;
}

/** A step of a run, and where its code is. */
export interface StepCode {
  /** The id of its job. */
  readonly id: number;
  readonly workflow: string;
  readonly version: string;
  readonly step: string;
  /** The requirements of its job, which name its code. */
  readonly requires: string[];
}

/** What the functions of a suspended step read. */
interface ConditionFacts extends StepCode {
  readonly input: JsonValue;
  readonly results: Readonly<Record<string, JsonValue>>;
  /** The signal that came, as JSON; null if none has. */
  readonly payload: string | null;
}

/**
 * Creates a planner that calls the workflows' code inside this process, for tests and scripts whose
 * workflows are values and not files. A function that never returns blocks the whole process.
 */
export function createInlinePlanner(workflows: readonly AnyWorkflow[]): Planner {
  const known = new Map(workflows.map((workflow) => [workflow.name, workflow]));
  const find = (place: { workflow: string; step: string }): AnyWorkflow => {
    const workflow = known.get(place.workflow);
    if (workflow) return workflow;
    const problem = "is not defined in any loaded file";
    throw new ConditionError(problem, { ...place, function: "when" });
  };
  return {
    workflows: new Map(workflows.map((workflow) => [workflow.name, toManifest(workflow)])),
    problems: [],
    revision: 0,
    loading: [],
    loaded: Promise.resolve(),
    onChange: () => () => {},
    async plan(name, { input, defaultHost } = {}) {
      const workflow = known.get(name);
      if (!workflow)
        throw new PlanError("it is not defined in any loaded file", { workflow: name, step: null });
      return planRun(workflow, { input, defaultHost });
    },
    async decide({ workflow, step, ...facts }) {
      return evaluateStep(find({ workflow, step }), step, facts);
    },
    async parse({ workflow, step, input }) {
      return parseApprovalInput(find({ workflow, step }), step, input);
    },
    async close() {},
  };
}

/** The names of an author's functions in messages. */
const NAMES: Readonly<Record<WorkflowCall["function"], string>> = {
  import: "its file",
  input: "its input schema",
  host: "host",
  hostHint: "hostHint",
  prefers: "prefers",
  concurrency: "concurrency",
  when: "when",
  until: "until",
  key: "key",
  show: "show",
  schema: "its schema of the signal",
};

/**
 * A workflow's code did not answer in time, or ended its process. Nothing else is affected: the
 * process ran only this code and was replaced.
 */
export class WorkflowCodeError extends Error {
  override readonly name = "WorkflowCodeError";
  readonly code: "WORKFLOW_CODE_TIMED_OUT" | "WORKFLOW_CODE_FAILED";
  readonly workflow: string;
  readonly step: string | null;
  /**
   * The function that was called: an option of the step, `input` for the schema, `import` for the
   * file.
   */
  readonly function: WorkflowCall["function"];
  constructor(
    code: WorkflowCodeError["code"],
    problem: string,
    { workflow, call }: { workflow: string; call: WorkflowCall },
  ) {
    const place = call.step === null ? "" : `, step ${call.step}`;
    super(`workflow ${workflow}${place}: ${NAMES[call.function]} ${problem}`);
    this.code = code;
    this.workflow = workflow;
    this.step = call.step;
    this.function = call.function;
  }
}

/** Too many requests wait for the code of one workflow, or no process can be started for it. */
export class PlannerBusyError extends Error {
  override readonly name = "PlannerBusyError";
  readonly code = "PLANNER_BUSY";
}
