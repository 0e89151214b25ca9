import type { FileRef } from "../files/step-files.ts";

/**
 * The built-in workflow whose steps are commands. No other workflow may have this name, because the scope `exec`, the
 * hub's signature and a node's policy belong to it.
 */
export const EXEC_WORKFLOW = "exec";

/** What a node offers whose owner lets it run commands. */
export const EXEC_CAPABILITY = "exec";

/** The step of a run with one command; those of an array are `command-0`, `command-1`, … */
const STEP = "command";

/** What is replaced in the texts of an array. */
const PLACEHOLDER = /\{([A-Za-z_]\w*)\}/g;

/** A command, or an array of alike ones, as the hub signs it and a node runs it. */
export interface ExecCommand {
  /** A program and its arguments. No shell reads them. */
  readonly argv: readonly string[];
  /** Variables that are added to the environment of a node's steps. */
  readonly env: Readonly<Record<string, string>>;
  /** Clauses that its node must meet. */
  readonly needs: readonly string[];
  /** The node that it is pinned to. */
  readonly host: string | null;
  /** How many times it runs; null: once, and it is no array. */
  readonly count: number | null;
  /** Runs it once for every combination of these values; not together with `count`. */
  readonly sweep: readonly SweepVariable[];
  /** The archive whose files are in its folder when it begins; null: none. */
  readonly in: FileRef | null;
  /** The paths that are brought back from its folder. With them or with `in` it runs in a folder of its own, else at home. */
  readonly out: readonly string[];
}

/** A variable of a sweep. Its values take turns in `{name}` and in the environment. */
export interface SweepVariable {
  readonly name: string;
  readonly values: readonly string[];
}

/** One command of an array, or the only one. */
export interface ExecStep {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly out: readonly string[];
}

type Array = Pick<ExecCommand, "count" | "sweep">;

const isArray = ({ count, sweep }: Array): boolean => count !== null || sweep.length > 0;

/** How many commands it stands for. */
export const sizeOf = ({ count, sweep }: Array): number =>
  count ?? sweep.reduce((product, { values }) => product * values.length, 1);

/** The names of a run's steps, in the order of their indexes. */
export const execSteps = (command: Array): string[] =>
  isArray(command)
    ? Array.from({ length: sizeOf(command) }, (_, index) => `${STEP}-${index}`)
    : [STEP];

/** The values of a sweep at an index: the last variable changes fastest. */
export function sweptAt({ sweep }: Pick<Array, "sweep">, index: number): Record<string, string> {
  const found: [string, string][] = [];
  let rest = index;
  for (const { name, values } of sweep.toReversed()) {
    found.unshift([name, values[rest % values.length] ?? ""]);
    rest = Math.floor(rest / values.length);
  }
  return Object.fromEntries(found);
}

/**
 * The command of one step: `{index}` and `{name}` of a sweep are replaced in arguments, variables and paths to bring back,
 * and the environment says them too. Other braces stay as they are.
 *
 * @returns undefined for a name that is no step of this command.
 */
export function commandOf(command: ExecCommand, step: string): ExecStep | undefined {
  const { argv, env, out } = command;
  if (!isArray(command)) return step === STEP ? { argv, env, out } : undefined;
  const index = Number(/^command-(\d{1,6})$/.exec(step)?.[1] ?? Number.NaN);
  if (step !== `${STEP}-${index}` || !(index < sizeOf(command))) return undefined;
  const values: Record<string, string> = { ...sweptAt(command, index), index: String(index) };
  const fill = (text: string) =>
    text.replaceAll(PLACEHOLDER, (whole, name: string) =>
      Object.hasOwn(values, name) ? (values[name] ?? "") : whole,
    );
  const { index: _, ...swept } = values;
  return {
    argv: argv.map(fill),
    env: {
      ...Object.fromEntries(Object.entries(env).map(([name, value]) => [name, fill(value)])),
      ...swept,
      LOOM_INDEX: String(index),
      LOOM_COUNT: String(sizeOf(command)),
    },
    out: out.map(fill),
  };
}

/** How long the texts of the longest command are, in UTF-16 code units. */
export interface ExecLengths {
  /** The longest argument, or value of a variable. */
  readonly argument: number;
  /** The longest path to bring back. */
  readonly output: number;
  /** All arguments and values together. */
  readonly total: number;
}

/**
 * Measures the longest command without making it: three characters can stand for a value of 100 000, a thousand times. A
 * sweep has every combination, so one command has the longest value of each variable.
 */
export function lengthsOf(command: Omit<ExecCommand, "in">): ExecLengths {
  const { argv, env, out, sweep } = command;
  const longest = new Map(
    sweep.map(({ name, values }) => [name, maximum(values.map(({ length }) => length))]),
  );
  const swept = [...longest.values()];
  longest.set("index", String(sizeOf(command) - 1).length);
  const lengthOf = (text: string): number => {
    if (!isArray(command)) return text.length;
    let length = text.length;
    for (const [whole, name = ""] of text.matchAll(PLACEHOLDER)) {
      length += (longest.get(name) ?? whole.length) - whole.length;
    }
    return length;
  };
  const texts = [...[...argv, ...Object.values(env)].map(lengthOf), ...swept];
  return {
    argument: maximum(texts),
    output: maximum(out.map(lengthOf)),
    total: texts.reduce((sum, length) => sum + length, 0),
  };
}

const maximum = (lengths: readonly number[]): number =>
  lengths.reduce((most, length) => Math.max(most, length), 0);

/** What one command brings back, and where its caller finds it. */
export interface ExecOutput {
  readonly step: string;
  /** Paths in the folder of the command, and for each the path below the folder of the caller. */
  readonly paths: readonly { readonly from: string; readonly to: string }[];
}

/**
 * What the commands of a run bring back. Each path keeps its name where all of them are different, as with `model-{lr}.bin`. Otherwise
 * the command's index is added to every one: `model.bin.0`, `model.bin.1`, …
 */
export function outputsOf(command: ExecCommand): ExecOutput[] {
  const outputs = execSteps(command).map((step) => ({
    step,
    out: commandOf(command, step)?.out ?? [],
  }));
  const areApart = areSeparate(outputs.flatMap(({ out }) => out));
  return outputs.map(({ step, out }, index) => ({
    step,
    paths: out.map((from) => ({ from, to: areApart ? from : `${from}.${index}` })),
  }));
}

/** Whether no path is named twice or lies below another one. */
export function areSeparate(paths: readonly string[]): boolean {
  const all = new Set(paths);
  return (
    all.size === paths.length &&
    paths.every((one) => {
      const names = one.split("/");
      return !names.some((_, at) => at > 0 && all.has(names.slice(0, at).join("/")));
    })
  );
}

/** The name of the archive with what a step has made. */
export const outputNameOf = (step: string): string => `out${step.slice(STEP.length)}.tar.gz`;
