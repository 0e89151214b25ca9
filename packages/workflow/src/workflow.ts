import { z } from "zod";
import { describeIssue } from "./describe-issue.ts";
import { InvalidInputError } from "./errors.ts";
import type { ItemContext, MapOptions } from "./forms/map.ts";
import type { ItemResult, Tolerance } from "./forms/map-policy.ts";
import type {
  ApprovalOptions,
  Approved,
  SignalOptions,
  SleepOptions,
  WaitOptions,
} from "./forms/wait.ts";
import type { JsonValue } from "./json.ts";
import type { NotifyPolicy } from "./notify/notify.ts";
import type { RetentionPolicy } from "./schedule/retention.ts";
import type { Schedule } from "./schedule/schedule.ts";
import type { RunsAfter, Step, StepContext, StepOptions, StepReturn } from "./step.ts";

/**
 * A zod schema for an input. `defineWorkflow` requires that its output is JSON.
 *
 * The type is not `z.ZodType<JsonValue>`, because a comparison with that makes the compiler unfold
 * zod's types and the recursive JSON type into each other until it gives up ("excessively deep").
 */
export type InputSchema = z.ZodType;

/** A workflow as a plain value with any input and results, as hubs and agents use it. */
export interface AnyWorkflow {
  readonly name: string;
  /**
   * First 12 hex digits of a SHA-256 over names, options and the source text of the functions.
   *
   * It is the version of a workflow that is a value, in tests and scripts. The version of one in a file is the digest of
   * its bundle, which covers the schema and everything that is imported as well.
   */
  readonly version: string;
  readonly input: InputSchema;
  /** The requirements of every step. */
  readonly requires: readonly string[];
  readonly schedule: Schedule | null;
  /** For how long its finished runs are kept; null: as the hub says. */
  readonly retention: RetentionPolicy | null;
  /** Which hooks are notified of what, because it says so itself. */
  readonly notify: NotifyPolicy | null;
  /** In the order of definition, so every step comes after those in its `after`. */
  readonly steps: readonly Step[];
}

/** A workflow whose type has its input and the result of each step. */
export interface Workflow<Name extends string, Schema extends InputSchema, Results>
  extends AnyWorkflow {
  readonly name: Name;
  readonly input: Schema;

  /**
   * Returns a new workflow with one more step. This workflow stays as it is.
   *
   * A step may run more than once: its node can vanish after the work and before the answer. So
   * make it harmless to repeat.
   *
   * @throws WorkflowDefinitionError when the step cannot work.
   */
  // `After` defaults to `never`: inferred from nothing it would be every earlier step, and
  // `results` would promise what nobody waited for.
  step<
    const StepName extends string,
    Result extends StepReturn,
    const After extends keyof Results & string = never,
    const Rule extends RunsAfter = "success",
    const Optional extends boolean = false,
    const Skip extends "pass" | "cascade" = "pass",
    // `never` where there is no condition.
    Guard extends boolean = never,
    Kept extends InputSchema = never,
  >(
    name: Unused<StepName, Results>,
    options: StepOptions<
      After,
      z.output<Schema>,
      Rule,
      Optional,
      Skip,
      Guard,
      Seen<Results, After, Rule>,
      Kept
    >,
    run: (
      context: StepContext<z.output<Schema>, Seen<Results, After, Rule>, KeptOf<Kept>>,
    ) => Promise<Result>,
  ): Workflow<
    Name,
    Schema,
    Results & Readonly<Record<StepName, Stored<Result> | Absent<Rule, Optional, Skip, Guard>>>
  >;

  /**
   * Returns a new workflow with one more step, which has a job for each item of a list. Each item is placed, run and
   * retried by itself. The step's result is the list of their results, in the list's order.
   *
   * If items fail, the others go on, and the step fails when all have ended. `tolerate` allows some to fail; then the
   * results say which did ({@link ItemResult}).
   *
   * @throws WorkflowDefinitionError when the step cannot work.
   */
  map<
    const StepName extends string,
    const Over extends string,
    Result extends StepReturn,
    const After extends keyof Results & string = never,
    const Tolerate extends Tolerance | undefined = undefined,
    Kept extends InputSchema = never,
  >(
    name: Unused<StepName, Results>,
    options: Omit<
      MapOptions<string, After, z.output<Schema>, KeyOf<ItemOf<Results, Over>>, Kept>,
      "over" | "tolerate"
    > & { readonly over: Mappable<Over, Results>; readonly tolerate?: Tolerate },
    run: (
      context: ItemContext<
        z.output<Schema>,
        Seen<Results, Exclude<After, StepOf<Over>>, "success">,
        ItemOf<Results, Over>,
        KeptOf<Kept>
      >,
    ) => Promise<Result>,
  ): Workflow<
    Name,
    Schema,
    Results &
      Readonly<
        Record<
          StepName,
          readonly (Tolerate extends Tolerance ? ItemResult<Stored<Result>> : Stored<Result>)[]
        >
      >
  >;

  /**
   * Returns a new workflow with one more step, which waits until some time has passed, or until a time. Nothing runs
   * meanwhile, and no node is needed. With `until`, its result says which time that was.
   *
   * @throws WorkflowDefinitionError when the step cannot work.
   */
  sleep<
    const StepName extends string,
    const After extends keyof Results & string = never,
    const Rule extends RunsAfter = "success",
    const Optional extends boolean = false,
    const Skip extends "pass" | "cascade" = "pass",
    Guard extends boolean = never,
    const Length extends SleepOptions<z.output<Schema>, Seen<Results, After, Rule>> = SleepOptions<
      z.output<Schema>,
      Seen<Results, After, Rule>
    >,
  >(
    name: Unused<StepName, Results>,
    options: WaitOptions<
      After,
      z.output<Schema>,
      Rule,
      Optional,
      Skip,
      Guard,
      Seen<Results, After, Rule>
    > &
      Length,
  ): Workflow<
    Name,
    Schema,
    Results &
      Readonly<
        Record<
          StepName,
          | (Length extends { readonly for: string } ? null : { readonly until: string })
          | Absent<Rule, Optional, Skip, Guard>
        >
      >
  >;

  /**
   * Returns a new workflow with one more step, which waits for a signal from outside: `POST /signals/{event}` or `loom
   * signal`. Its result is the data of the signal. Nothing runs meanwhile, and no node is needed.
   *
   * @throws WorkflowDefinitionError when the step cannot work.
   */
  waitFor<
    const StepName extends string,
    Payload extends z.ZodType = z.ZodType<JsonValue>,
    const After extends keyof Results & string = never,
    const Rule extends RunsAfter = "success",
    const Optional extends boolean = false,
    const Skip extends "pass" | "cascade" = "pass",
    Guard extends boolean = never,
  >(
    name: Unused<StepName, Results>,
    options: WaitOptions<
      After,
      z.output<Schema>,
      Rule,
      Optional,
      Skip,
      Guard,
      Seen<Results, After, Rule>
    > &
      SignalOptions<z.output<Schema>, Seen<Results, After, Rule>, Payload>,
  ): Workflow<
    Name,
    Schema,
    Results & Readonly<Record<StepName, z.output<Payload> | Absent<Rule, Optional, Skip, Guard>>>
  >;

  /**
   * Returns a new workflow with one more step, which waits until a person has approved, in the dashboard, with `loom
   * approve` or over the API. If the person rejects, it fails with `APPROVAL_REJECTED`. Nothing runs meanwhile.
   *
   * @throws WorkflowDefinitionError when the step cannot work.
   */
  approve<
    const StepName extends string,
    Given extends z.ZodType = z.ZodType<null>,
    const After extends keyof Results & string = never,
    const Rule extends RunsAfter = "success",
    const Optional extends boolean = false,
    const Skip extends "pass" | "cascade" = "pass",
    Guard extends boolean = never,
  >(
    name: Unused<StepName, Results>,
    options: WaitOptions<
      After,
      z.output<Schema>,
      Rule,
      Optional,
      Skip,
      Guard,
      Seen<Results, After, Rule>
    > &
      ApprovalOptions<z.output<Schema>, Seen<Results, After, Rule>, Given>,
  ): Workflow<
    Name,
    Schema,
    Results &
      Readonly<Record<StepName, Approved<z.output<Given>> | Absent<Rule, Optional, Skip, Guard>>>
  >;
}

/** The type of a checkpoint; without a schema it is any JSON. */
type KeptOf<Kept extends InputSchema> = [Kept] extends [never] ? JsonValue : z.output<Kept>;

/** What `over` may be: a step whose result is a list, or a property of a result that is one. */
type ListsOf<Results> = {
  [Step in keyof Results & string]: Results[Step] extends readonly unknown[]
    ? Step
    : {
        [Key in keyof Results[Step] & string]: Results[Step][Key] extends readonly unknown[]
          ? `${Step}.${Key}`
          : never;
      }[keyof Results[Step] & string];
}[keyof Results & string];

type StepOf<Over> = Over extends `${infer Step}.${string}` ? Step : Over;

/**
 * Refuses what is no list. The type carries the reason, so that the compiler prints it.
 *
 * If the name of a step was computed (its type is `string`), the lists are known only at run time.
 */
type Mappable<Over extends string, Results> = string extends keyof Results
  ? Over
  : Over extends ListsOf<Results>
    ? Over
    : StepOf<Over> extends keyof Results
      ? Results[StepOf<Over>] extends readonly unknown[]
        ? `${StepOf<Over> & string} is a list: maps cannot be nested, so put a step between that makes one list`
        : ListsOf<Results>
      : ListsOf<Results>;

type Property<Value, Key> = Key extends keyof Value ? Value[Key] : never;
type Entry<List> = List extends readonly (infer Item)[] ? Item : never;

/** The type of the items of a list. */
type ItemOf<Results, Over> = string extends keyof Results
  ? JsonValue
  : Over extends `${infer Step}.${infer Key}`
    ? Entry<Property<Property<Results, Step>, Key>>
    : Entry<Property<Results, Over>>;

/** The properties of an item that can name it. */
type KeyOf<Item> =
  Item extends Readonly<Record<string, unknown>>
    ? {
        [Key in keyof Item]: Item[Key] extends string | number ? Key : never;
      }[keyof Item] &
        string
    : never;

/**
 * The value that callers of a workflow pass: the schema's input, before defaults and transforms.
 */
export type WorkflowInput<W extends Pick<AnyWorkflow, "input">> = z.input<W["input"]>;

/**
 * Refuses a name that is already used. The type carries the reason, so that the compiler prints it.
 *
 * If the name of a step was computed (its type is `string`), only the check at run time can find a
 * duplicate.
 */
type Unused<Name extends string, Results> = string extends keyof Results
  ? Name
  : Name extends keyof Results
    ? `a step named ${Name} exists`
    : Name;

/** The results that a step reads. Unless it runs after success only, each of its needs may have none. */
type Seen<Results, After extends keyof Results, Rule extends RunsAfter> = [Rule] extends ["success"]
  ? Pick<Results, After>
  : { readonly [Need in After]: Results[Need] | undefined };

/** What the result of a step may be beside its value, for the steps that run after its success. */
type Absent<
  Rule extends RunsAfter,
  Optional extends boolean,
  Skip extends "pass" | "cascade",
  Guard,
> =
  | (Optional extends false ? never : undefined)
  | (Skip extends "cascade"
      ? never
      : Rule extends "failure"
        ? undefined
        : [Guard] extends [never]
          ? never
          : undefined);

/** A step that returns nothing is read back as `null`. */
type Stored<Result> = Result extends JsonValue ? Result : null;

/**
 * Parses the input of a run once. The result is stored and given to every step.
 *
 * @param input - `undefined` counts as `{}`, so that an input with only defaults can be left out.
 * @throws InvalidInputError with every place that does not fit.
 */
export function parseInput(
  { name, input: schema }: Pick<AnyWorkflow, "name" | "input">,
  input: unknown,
): JsonValue {
  // defineWorkflow accepts only schemas whose output is JSON.
  return parseWith(schema, input === undefined ? {} : input, { workflow: name }) as JsonValue;
}

/**
 * Parses a value with a schema of a workflow.
 *
 * @throws InvalidInputError with every place that does not fit.
 */
export function parseWith(
  schema: InputSchema,
  value: unknown,
  { workflow }: { workflow: string },
): unknown {
  const parsed = schema.safeParse(value, { error: describeIssue });
  if (parsed.success) return parsed.data;
  const issues = parsed.error.issues.map(({ path, message }) => ({
    path: z.core.toDotPath(path),
    message,
  }));
  throw new InvalidInputError(workflow, issues, { cause: parsed.error });
}
