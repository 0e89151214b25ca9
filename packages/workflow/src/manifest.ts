import { z } from "zod";
import { WorkflowDefinitionError } from "./errors.ts";
import { type PlannedWait, planWait } from "./forms/wait-policy.ts";
import { type NotifyPolicy, toNotifyPolicy } from "./notify/notify.ts";
import type { Step } from "./step.ts";
import type { AnyWorkflow } from "./workflow.ts";

/** An option that the author may compute from the input with a function. */
export type ComputedOption = "host" | "hostHint" | "prefers" | "concurrency";

/** A step without its author's functions and schemas. */
export interface StepManifest
  extends Omit<Step, "run" | "when" | "checkpoint" | "wait" | ComputedOption> {
  /** Whether a function decides if it runs. */
  readonly hasCondition: boolean;
  /** What it waits for, where no node runs it. What a function computes is left out. */
  readonly wait: PlannedWait | null;
  readonly host: string | null;
  readonly hostHint: string | null;
  readonly prefers: Exclude<Step["prefers"], (...args: never) => unknown>;
  readonly concurrency: Exclude<Step["concurrency"], (...args: never) => unknown>;
  /**
   * The options that a function computes from the input. In the manifest they are null or empty.
   */
  readonly computed: readonly ComputedOption[];
}

/** A workflow as JSON, without its author's code, for a program that must not run that code. */
export interface WorkflowManifest
  extends Pick<AnyWorkflow, "name" | "version" | "requires" | "schedule" | "retention" | "notify"> {
  readonly steps: readonly StepManifest[];
  /** The JSON Schema of the input; `{}` if the schema cannot be written as one. */
  readonly inputSchema: Readonly<Record<string, unknown>>;
}

/**
 * Describes a workflow as JSON.
 *
 * Converting a schema to JSON Schema runs its author's code (`z.lazy`, getters), so call this only
 * where that code may run.
 *
 * @throws WorkflowDefinitionError when the value has a workflow's shape but was not made by
 * `defineWorkflow`.
 */
export function toManifest(workflow: AnyWorkflow): WorkflowManifest {
  const { name, version, requires, schedule, retention = null, notify = null, steps } = workflow;
  if (!Array.isArray(requires) || schedule === undefined || typeof version !== "string") {
    throw new WorkflowDefinitionError("it was not made by defineWorkflow", { workflow: name });
  }
  return {
    name,
    version,
    requires,
    schedule,
    retention,
    notify: notify && checkedNotify(name, notify),
    steps: steps.map(toStepManifest),
    inputSchema: toInputSchema(workflow),
  };
}

/** A copy with another `notify` was not checked, and the notifications of all workflows are stored in one call. */
function checkedNotify(workflow: string, notify: NotifyPolicy): NotifyPolicy {
  try {
    return toNotifyPolicy(notify);
  } catch (error) {
    throw new WorkflowDefinitionError((error as Error).message, { workflow, cause: error });
  }
}

function toStepManifest({ run: _, checkpoint: __, when, wait, ...step }: Step): StepManifest {
  const { host, hostHint, prefers, concurrency } = step;
  const computed = Object.entries({ host, hostHint, prefers, concurrency })
    .filter(([, value]) => typeof value === "function")
    .map(([option]) => option as ComputedOption);
  return {
    ...step,
    hasCondition: when !== null,
    wait: wait && planWait(wait),
    host: typeof host === "function" ? null : host,
    hostHint: typeof hostHint === "function" ? null : hostHint,
    prefers: typeof prefers === "function" ? [] : prefers,
    concurrency: typeof concurrency === "function" ? null : concurrency,
    computed,
  };
}

function toInputSchema({ input }: AnyWorkflow): WorkflowManifest["inputSchema"] {
  try {
    return { ...z.toJSONSchema(input, { io: "input", unrepresentable: "any" }) };
  } catch {
    return {};
  }
}
