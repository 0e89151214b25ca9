import type { z } from "zod";
import type { JsonValue } from "./json.ts";
import type { Schedule } from "./schedule.ts";
import type { Step, StepContext, StepOptions, StepReturn } from "./step.ts";

/**
 * A zod schema for an input. Its output has to be JSON, which `defineWorkflow` asks for.
 *
 * Not `z.ZodType<JsonValue>`: comparing a schema with that makes the compiler unfold zod's types and
 * the recursive JSON type into each other, until it gives up ("excessively deep").
 */
export type InputSchema = z.ZodType;

/** A workflow as a plain value, whatever its input and results: what hubs and agents work with. */
export interface AnyWorkflow {
  readonly name: string;
  /**
   * First 12 hex digits of a SHA-256 over names, options and the source text of the functions.
   *
   * The input schema and the functions that a step calls are not part of it. Transpiling changes
   * the source text, so compare versions of one build only.
   */
  readonly version: string;
  readonly input: InputSchema;
  /** What every step requires. */
  readonly requires: readonly string[];
  readonly schedule: Schedule | null;
  /** In the order of definition, in which every step comes after those in its `after`. */
  readonly steps: readonly Step[];
}

/** A workflow whose type knows its input and what each of its steps returns. */
export interface Workflow<Name extends string, Schema extends InputSchema, Results>
  extends AnyWorkflow {
  readonly name: Name;
  readonly input: Schema;

  /**
   * Returns a new workflow with one more step; this one stays as it is.
   *
   * A step may run more than once (its node can vanish after the work and before the answer), so
   * write it to be harmless the second time.
   *
   * @throws WorkflowDefinitionError when the step cannot work.
   */
  // `After` defaults to `never`: inferred from nothing it would be every earlier step, and
  // `results` would promise what nobody waited for.
  step<
    const StepName extends string,
    Result extends StepReturn,
    const After extends keyof Results & string = never,
  >(
    name: Unused<StepName, Results>,
    options: StepOptions<After, z.output<Schema>>,
    run: (context: StepContext<z.output<Schema>, Pick<Results, After>>) => Promise<Result>,
  ): Workflow<Name, Schema, Results & Readonly<Record<StepName, Stored<Result>>>>;
}

/** What callers of a workflow pass: the schema's input, before defaults and transforms. */
export type WorkflowInput<W extends Pick<AnyWorkflow, "input">> = z.input<W["input"]>;

/**
 * Refuses a name that is taken, with the reason where the compiler prints the expected type.
 *
 * Once a name was computed (its type is `string`), only the check at run time can tell.
 */
type Unused<Name extends string, Results> = string extends keyof Results
  ? Name
  : Name extends keyof Results
    ? `a step named ${Name} exists`
    : Name;

/** A step that returns nothing is read back as `null`. */
type Stored<Result> = Result extends JsonValue ? Result : null;
