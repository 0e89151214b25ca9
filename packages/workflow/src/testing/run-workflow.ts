import type { StepFiles } from "../files/step-files.ts";
import { keyOfItem, toleratedOf } from "../forms/map-policy.ts";
import { fateOf, type Outcome, outcomeOf, type SkipReason } from "../forms/skipping.ts";
import { toInstant } from "../forms/wait-policy.ts";
import type { JsonValue } from "../json.ts";
import type { Exec, LogMethod, Step, StepContext } from "../step.ts";
import { type InputSchema, parseInput, type Workflow, type WorkflowInput } from "../workflow.ts";
import { createTestFiles } from "./files.ts";

/** How a workflow runs in a test. */
export interface RunOptions<Schema extends InputSchema, Results> {
  /** The input as a caller sends it, before defaults. */
  readonly input?: WorkflowInput<{ input: Schema }>;
  /** Results of steps that do not run here, such as a step that needs a GPU. */
  readonly results?: Partial<Results>;
  /** Takes the place of the programs that steps call. Default: a call of `exec` fails. */
  readonly exec?: Exec;
  /** What an earlier attempt kept, by step name: `checkpointed` of the steps. */
  readonly checkpoints?: Readonly<Record<string, JsonValue>>;
  /** Aborts the steps. */
  readonly signal?: AbortSignal;
}

/** What a workflow did in a test. */
export interface WorkflowRun<Results> {
  readonly results: Results;
  /** The lines that the steps logged, in order: `fetch info downloaded`. */
  readonly log: readonly string[];
  /** What each step kept last with `checkpoint`, by step name. */
  readonly checkpoints: Readonly<Record<string, JsonValue>>;
}

/**
 * Runs a workflow's steps in this process, one after another, for tests of one's own workflows. There is no placement, no timeout and
 * no retry: a requirement that this machine does not meet is ignored. Steps are skipped as in a real run, and the steps that
 * run after a failure do so before the error is thrown.
 *
 * Inputs and results become JSON between the steps, as they do in a real run. Files are in a folder that goes at the end.
 *
 * @throws InvalidInputError when the input does not fit the schema, and the first error that a step throws.
 */
export async function runWorkflow<Schema extends InputSchema, Results>(
  workflow: Workflow<string, Schema, Results>,
  options: RunOptions<Schema, Results> = {},
): Promise<WorkflowRun<Results>> {
  const { files, close } = createTestFiles();
  try {
    return await runSteps(workflow, { ...options, files });
  } finally {
    await close();
  }
}

async function runSteps<Schema extends InputSchema, Results>(
  workflow: Workflow<string, Schema, Results>,
  {
    input,
    results = {},
    exec = noCommands,
    checkpoints = {},
    signal,
    files,
  }: RunOptions<Schema, Results> & { files: StepFiles },
): Promise<WorkflowRun<Results>> {
  const parsed = parseInput(workflow, input);
  const known: Record<string, JsonValue> = {};
  const log: string[] = [];
  const kept: Record<string, JsonValue> = {};
  const outcomes = new Map<string, Outcome>();
  const failures: unknown[] = [];
  for (const step of workflow.steps) {
    const given = (results as Record<string, JsonValue | undefined>)[step.name];
    if (given !== undefined) {
      known[step.name] = toJson(given);
      outcomes.set(step.name, "passed");
      continue;
    }
    const stepResults = Object.fromEntries(
      step.after.flatMap((name) => (known[name] === undefined ? [] : [[name, known[name]]])),
    );
    const needs = step.after.map((name) => outcomes.get(name) ?? null);
    let fate = fateOf(needs, step.runsAfter);
    let failure: { error: unknown } | undefined;
    try {
      if (fate === "runs" && step.when?.({ input: parsed, results: stepResults }) === false) {
        fate = "condition";
      }
    } catch (error) {
      failure = { error };
    }
    if (fate !== "runs") {
      // Each step comes after those that it needs, so it is not blocked.
      const reason = fate as SkipReason;
      outcomes.set(step.name, outcomeOf({ state: "skipped", reason }, step));
      continue;
    }
    const at = (level: string): LogMethod =>
      ((facts: object | string, message?: string) => {
        log.push(`${step.name} ${level} ${typeof facts === "string" ? facts : (message ?? "")}`);
      }) as LogMethod;
    const context: StepContext = {
      input: parsed,
      results: stepResults,
      signal: signal ?? new AbortController().signal,
      log: { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") },
      progress() {},
      async checkpoint(value) {
        kept[step.name] = toJson(value);
      },
      checkpointed: checkpoints[step.name],
      exec,
      files,
      attempt: 1,
      node: "test",
      run: { id: null },
      step: step.name,
      workflow: workflow.name,
      traceparent: null,
    };
    signal?.throwIfAborted();
    try {
      if (failure) throw failure.error;
      known[step.name] = await (step.wait !== null
        ? endWait(step, context)
        : step.map === null
          ? runOnce(step, context)
          : runItems(step, context));
      outcomes.set(step.name, "passed");
    } catch (error) {
      if (!step.optional) failures.push(error);
      outcomes.set(step.name, outcomeOf({ state: "failed" }, step));
    }
  }
  if (failures.length > 0) throw failures[0];
  // The type says of which steps there may be no result.
  return { results: known as Results, log, checkpoints: kept };
}

/** Ends a wait at once: a sleep has slept. The signal or the decision is for the test to say. */
async function endWait({ name, wait }: Step, context: StepContext): Promise<JsonValue> {
  if (wait?.kind !== "sleep") {
    throw new Error(`step ${name} waits: pass what it gets as results: { "${name}": … }`);
  }
  if ("forMs" in wait) return null;
  const { until } = wait;
  return { until: toInstant("until", typeof until === "function" ? until(context) : until) };
}

const runOnce = async (step: Step, context: StepContext): Promise<JsonValue> =>
  toJson((await step.run(context)) ?? null);

/** Runs a step for each item of its list. If more fail than may, the first error is thrown when all have ended. */
async function runItems(step: Step, { results, ...rest }: StepContext): Promise<JsonValue> {
  const { map } = step;
  if (map === null) throw new TypeError(`${step.name} maps over no list`);
  const { [map.step]: whole, ...others } = results;
  const list = map.path === null ? whole : (whole as Record<string, JsonValue>)?.[map.path];
  if (!Array.isArray(list)) {
    const name = map.path === null ? map.step : `${map.step}.${map.path}`;
    throw new TypeError(`${name} is not a list, and ${step.name} maps over it`);
  }
  const entries: JsonValue[] = [];
  const errors: unknown[] = [];
  for (const [index, item] of (list as readonly JsonValue[]).entries()) {
    const context = { ...rest, results: others, item, index, key: keyOfItem(map, item, index) };
    try {
      const value = await runOnce(step, context);
      entries.push(map.tolerate === null ? value : { ok: true, value });
    } catch (error) {
      errors.push(error);
      const { code = null, message = null } = error as { code?: string; message?: string };
      entries.push({ ok: false, error: { code, message } });
    }
  }
  if (errors.length > toleratedOf(map, list.length)) throw errors[0];
  return entries;
}

const toJson = (value: JsonValue): JsonValue => JSON.parse(JSON.stringify(value)) as JsonValue;

const noCommands: Exec = ([program]) =>
  Promise.reject(
    new Error(`the step runs ${program}: pass \`exec\` to runWorkflow to say what it answers`),
  );
