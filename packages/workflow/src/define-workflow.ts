import { createHash } from "node:crypto";
import { z } from "zod";
import {
  checkName,
  checkRequires,
  checkTogether,
  defineStep,
  type StepForm,
} from "./define-step.ts";
import type { Duration } from "./duration.ts";
import { WorkflowDefinitionError } from "./errors.ts";
import { EXEC_WORKFLOW } from "./exec/command.ts";
import type { MapOptions } from "./forms/map.ts";
import {
  type ApprovalOptions,
  type SignalOptions,
  type SleepOptions,
  toApproval,
  toSignal,
  toSleep,
  type WaitOptions,
} from "./forms/wait.ts";
import type { WaitPolicy } from "./forms/wait-policy.ts";
import { findNonJson, type JsonValue } from "./json.ts";
import { limits } from "./limits.ts";
import { type Notify, type NotifyPolicy, toNotifyPolicy } from "./notify/notify.ts";
import { printClause } from "./requirement/clause.ts";
import type { RequirementClause } from "./requirement/fleet.ts";
import { parseClause } from "./requirement/parse-clause.ts";
import { type Retention, type RetentionPolicy, toRetentionPolicy } from "./schedule/retention.ts";
import type { Schedule } from "./schedule/schedule.ts";
import type { Step, StepOptions } from "./step.ts";
import { type AnyWorkflow, type InputSchema, parseInput, type Workflow } from "./workflow.ts";

const noInput = z.strictObject({});

/** The schema of a workflow that takes no input. */
export type NoInput = typeof noInput;

/** A workflow without its steps. */
export interface WorkflowDefinition<Name extends string, Schema extends InputSchema> {
  /** 1 to 63 of `a-z`, `0-9` and `-`. */
  readonly name: Name;
  /** Default: a workflow that takes no input. */
  readonly input?: Schema & JsonOutput<Schema>;
  /** Clauses that the node of every step must meet. */
  readonly requires?: readonly RequirementClause[];
  /** The times at which it starts by itself, from `cron()`. */
  readonly schedule?: Schedule;
  /** For how long its finished runs are kept: `"7d"`, or `{ succeeded: "3d", failed: "90d" }`. Default: as the hub says. */
  readonly retention?: Retention | Duration;
  /**
   * Which of the hub's hooks are notified of what, besides the hooks that want it of every workflow:
   * `{ "run.failed": "ops" }`.
   */
  readonly notify?: Notify;
}

/**
 * Refuses a schema whose output cannot be stored. The type carries the reason, so that the compiler
 * prints it.
 */
type JsonOutput<Schema extends InputSchema> =
  z.output<Schema> extends JsonValue ? unknown : "the output of the schema must be JSON";

/**
 * Defines a workflow. `.step()`, `.map()`, `.sleep()`, `.waitFor()` and `.approve()` add steps to it.
 *
 * @throws WorkflowDefinitionError when the definition cannot work, for example when a schedule's
 * input does not fit the schema.
 */
export function defineWorkflow<const Name extends string, Schema extends InputSchema = NoInput>(
  definition: WorkflowDefinition<Name, Schema>,
): Workflow<Name, Schema, Record<never, never>> {
  const { name, input = noInput, requires = [], schedule = null } = definition;
  let retention: RetentionPolicy | null = null;
  let notify: NotifyPolicy | null = null;
  inPlace({ workflow: name }, () => {
    checkName(name);
    if ((name as string) === EXEC_WORKFLOW) {
      throw new RangeError("this name belongs to `loom exec`: choose another one");
    }
    checkRequires(requires);
    if (schedule !== null) {
      checkStorable(schedule.input);
      checkStorable(parseInput({ name, input }, schedule.input));
    }
    if (definition.retention !== undefined) retention = toRetentionPolicy(definition.retention);
    if (definition.notify !== undefined) notify = toNotifyPolicy(definition.notify);
  });
  const workflow = chainable({
    name,
    version: digest({ name, requires, schedule }),
    input,
    requires: [...requires],
    schedule,
    retention,
    notify,
    steps: [],
  });
  // The types of inputs and results exist only for the compiler; the values do not carry them.
  return workflow as Workflow<Name, Schema, Record<never, never>>;
}

/** Adds the methods that add steps to a workflow. */
function chainable(workflow: AnyWorkflow): AnyWorkflow {
  const addStep = (name: string, toForm: () => StepForm, run: Step["run"]) => {
    const step = inPlace({ workflow: workflow.name, step: name }, () => {
      const defined = defineStep({ name, run, ...toForm() }, workflow.steps);
      const requires = [...workflow.requires, ...defined.requires];
      checkTogether(requires, defined.host);
      // Planning adds one more requirement: the workflow's version.
      const count = new Set(requires.map((clause) => printClause(parseClause(clause)))).size + 1;
      if (count > limits.requirements) {
        throw new RangeError(
          `a step has at most ${limits.requirements} requirements, those of its workflow and its version included; this one has ${count}`,
        );
      }
      return defined;
    });
    return chainable({
      ...workflow,
      // A schema is an object of its library, not data.
      version: digest([workflow.version, { ...step, checkpoint: step.checkpoint !== null }]),
      steps: [...workflow.steps, step],
    });
  };
  const addWait = (
    name: string,
    { after, runsAfter, when, optional, skip }: WaitOptions,
    toWait: () => WaitPolicy,
  ) => {
    const options = withoutUndefined({ after, runsAfter, when, optional, skip });
    return addStep(name, () => ({ form: "wait", options, wait: toWait() }), runNowhere);
  };
  return Object.assign({}, workflow, {
    step: (name: string, options: StepOptions, run: Step["run"]) =>
      addStep(name, () => ({ form: "step", options }), run),
    map: (name: string, options: MapOptions, run: Step["run"]) =>
      addStep(name, () => ({ form: "map", options }), run),
    sleep: (name: string, options: WaitOptions & SleepOptions) =>
      addWait(name, options, () => toSleep(options)),
    waitFor: (name: string, options: WaitOptions & SignalOptions) =>
      addWait(name, options, () => toSignal(options)),
    approve: (name: string, options: WaitOptions & ApprovalOptions) =>
      addWait(name, options, () => toApproval(options)),
  });
}

/** No node runs a step that waits. */
const runNowhere: Step["run"] = ({ workflow, step }) =>
  Promise.reject(new Error(`step ${step} of workflow ${workflow} waits: no node runs it`));

const withoutUndefined = (options: object): WaitOptions =>
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));

/**
 * Refuses a schedule's input that no run could start with, because nobody reads the error when the
 * schedule is due.
 */
function checkStorable(input: JsonValue): void {
  const found = findNonJson(input);
  if (found)
    throw new RangeError(`the schedule's input${found.path && `.${found.path}`}: ${found.message}`);
  const bytes = Buffer.byteLength(JSON.stringify(input));
  if (bytes > limits.inputBytes) {
    throw new RangeError(
      `the schedule's input has ${bytes} bytes as JSON, of at most ${limits.inputBytes}: store the data elsewhere and pass a reference`,
    );
  }
}

/** Adds the workflow and the step to the error of a check. */
function inPlace<Result>(place: { workflow: string; step?: string }, check: () => Result): Result {
  try {
    return check();
  } catch (cause) {
    const problem = cause instanceof Error ? cause.message : String(cause);
    throw new WorkflowDefinitionError(problem, { ...place, cause });
  }
}

/**
 * Digests a part of a definition, functions by their source text.
 *
 * Each step digests the version before it and itself, so a chain of steps is read once.
 */
function digest(part: unknown): string {
  const text = JSON.stringify(part, (_key, value: unknown) =>
    typeof value === "function" ? value.toString() : value instanceof z.ZodType ? null : value,
  );
  return createHash("sha256").update(text).digest("hex").slice(0, 12);
}
