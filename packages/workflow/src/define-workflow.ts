import { z } from "zod";
import { checkName, checkRequires, defineStep } from "./define-step.ts";
import { WorkflowDefinitionError } from "./errors.ts";
import type { JsonValue } from "./json.ts";
import { parseInput } from "./parse-input.ts";
import type { Schedule } from "./schedule.ts";
import type { Step, StepOptions } from "./step.ts";
import { digest } from "./version.ts";
import type { AnyWorkflow, InputSchema, Workflow } from "./workflow.ts";

const noInput = z.strictObject({});

/** The schema of a workflow that takes no input. */
export type NoInput = typeof noInput;

/** What a workflow is, before its steps. */
export interface WorkflowDefinition<Name extends string, Schema extends InputSchema> {
  /** 1 to 63 of `a-z`, `0-9` and `-`. */
  readonly name: Name;
  /** Default: a workflow that takes no input. */
  readonly input?: Schema & JsonOutput<Schema>;
  /** Clauses that the node of every step has to meet. */
  readonly requires?: readonly string[];
  /** When it starts by itself, from `cron()`. */
  readonly schedule?: Schedule;
}

/** Refuses a schema whose output cannot be stored, with the reason where the compiler prints it. */
type JsonOutput<Schema extends InputSchema> =
  z.output<Schema> extends JsonValue
    ? unknown
    : "what the schema makes of the input has to be JSON";

/**
 * Defines a workflow, to which `.step()` adds steps.
 *
 * @throws WorkflowDefinitionError when the definition cannot work, which includes a schedule whose
 * input does not fit the schema.
 */
export function defineWorkflow<const Name extends string, Schema extends InputSchema = NoInput>(
  definition: WorkflowDefinition<Name, Schema>,
): Workflow<Name, Schema, Record<never, never>> {
  const { name, input = noInput, requires = [], schedule = null } = definition;
  inPlace({ workflow: name }, () => {
    checkName(name);
    checkRequires(requires);
    if (schedule !== null) parseInput({ name, input }, schedule.input);
  });
  const workflow = chainable({
    name,
    version: digest({ name, requires, schedule }),
    input,
    requires: [...requires],
    schedule,
    steps: [],
  });
  // What steps take and return is known to the compiler alone; values carry no trace of it.
  return workflow as Workflow<Name, Schema, Record<never, never>>;
}

/** Gives a workflow its `.step()`. */
function chainable(workflow: AnyWorkflow): AnyWorkflow {
  const addStep = (name: string, options: StepOptions, run: Step["run"]) => {
    const step = inPlace({ workflow: workflow.name, step: name }, () =>
      defineStep(
        { name, options, run },
        workflow.steps.map((earlier) => earlier.name),
      ),
    );
    return chainable({
      ...workflow,
      version: digest([workflow.version, step]),
      steps: [...workflow.steps, step],
    });
  };
  return Object.assign({}, workflow, { step: addStep });
}

/** Says where a check failed: checks know what is wrong, not in which workflow. */
function inPlace<Result>(place: { workflow: string; step?: string }, check: () => Result): Result {
  try {
    return check();
  } catch (cause) {
    const problem = cause instanceof Error ? cause.message : String(cause);
    throw new WorkflowDefinitionError(problem, { ...place, cause });
  }
}
