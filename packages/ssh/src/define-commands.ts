import type { z } from "zod";
import { CommandDefinitionError, CommandNotAllowedError, InvalidArgumentsError } from "./errors.ts";

/** One operation with its arguments, ready to run. Only {@link defineCommands} makes them. */
export interface Command {
  /** The operation's name in the allowlist. */
  readonly name: string;
  /** The arguments as they were given. They passed the schema. */
  readonly args: readonly Argument[];
  /** The program and its arguments, one word each. */
  readonly argv: readonly string[];
}

/** An argument of an operation, which is sent as JSON. */
export type Argument = string | number | boolean;

/** A tuple of arguments, such as `z.tuple([z.string().regex(/^[a-z]+$/)])`. */
export type ArgumentSchema = z.ZodType<readonly unknown[], readonly Argument[]>;

/** One operation of an allowlist. */
export interface CommandDefinition<Schema extends ArgumentSchema> {
  readonly args: Schema;
  /**
   * Returns program and arguments, one word each. It is called when the command is made, and again
   * on the node if a gate guards it.
   */
  readonly argv: (...args: Rest<z.output<Schema>>) => readonly [string, ...string[]];
}

/** Functions that check their arguments and return a {@link Command}. */
export type Commands<Schemas extends Record<string, ArgumentSchema>> = {
  readonly [Name in keyof Schemas]: (...args: Rest<z.input<Schemas[Name]>>) => Command;
};

/** A tuple type that the compiler accepts as a parameter list. */
type Rest<Tuple> = Tuple extends readonly unknown[] ? Tuple : never;

const NAME = /^[a-z][A-Za-z0-9-]{0,62}$/;
/** Excludes options, assignments, and words that a shell's `exec` would interpret. */
const PROGRAM = /^[A-Za-z0-9_./][A-Za-z0-9_.+/-]*$/;

const made = new WeakSet<Command>();

/**
 * Declares an allowlist: the operations that can be run, each with typed arguments.
 *
 * An operation checks its arguments with its schema. In addition, none may begin with `-` or
 * contain control or invisible characters. There is no way to add a word, an option or shell
 * syntax.
 *
 * @throws CommandDefinitionError when a definition cannot work. An operation of the returned set
 * throws {@link InvalidArgumentsError}.
 */
export function defineCommands<const Schemas extends Record<string, ArgumentSchema>>(
  definitions: {
    readonly [Name in keyof Schemas]: CommandDefinition<Schemas[Name]>;
  },
): Commands<Schemas> {
  const commands: Record<string, (...args: readonly Argument[]) => Command> = {};
  for (const [name, { args: schema, argv }] of Object.entries(definitions)) {
    if (!NAME.test(name)) {
      throw new CommandDefinitionError(name, "use letters, digits and -, a small letter first");
    }
    const toArgv = argv as (...args: readonly unknown[]) => readonly string[];
    commands[name] = (...args) => makeCommand(name, args, { schema, toArgv });
  }
  // The loop visits every key of the type, which the compiler cannot see.
  return Object.freeze(commands) as Commands<Schemas>;
}

/** @throws CommandNotAllowedError if `defineCommands` did not make the command. */
export function requireMade(command: Command): void {
  if (!made.has(command)) throw new CommandNotAllowedError();
}

function makeCommand(
  name: string,
  args: readonly Argument[],
  definition: {
    schema: ArgumentSchema;
    toArgv: (...args: readonly unknown[]) => readonly string[];
  },
): Command {
  const parsed = definition.schema.safeParse(args, { error: describeProblem });
  if (!parsed.success) {
    const problems = parsed.error.issues.map(({ path, message }) =>
      path[0] === undefined ? message : `argument ${Number(path[0]) + 1} ${message}`,
    );
    throw new InvalidArgumentsError(name, problems, { cause: parsed.error });
  }
  const problems = [...args, ...parsed.data].flatMap((value, index) => {
    const problem = argumentProblem(value);
    return problem === null ? [] : [`argument ${(index % args.length) + 1} ${problem}`];
  });
  if (problems.length > 0) throw new InvalidArgumentsError(name, [...new Set(problems)]);

  const argv = definition.toArgv(...parsed.data);
  checkArgv(name, argv);
  const command = Object.freeze({
    name,
    args: Object.freeze([...args]),
    argv: Object.freeze([...argv]),
  });
  made.add(command);
  return command;
}

/**
 * Says what is allowed in place of an argument, as the end of a sentence that begins with its number. A
 * message of the schema's own comes first.
 */
function describeProblem(issue: z.core.$ZodRawIssue): string {
  switch (issue.code) {
    case "invalid_type":
      return `must be a ${issue.expected === "int" ? "whole number" : issue.expected}`;
    case "too_small":
      return boundOf(issue, issue.inclusive === false ? "more than" : "at least", issue.minimum);
    case "too_big":
      return boundOf(issue, issue.inclusive === false ? "less than" : "at most", issue.maximum);
    case "not_multiple_of":
      return `must be a multiple of ${issue.divisor}`;
    case "invalid_value":
      return `must be ${issue.values.map((value) => JSON.stringify(value)).join(" or ")}`;
    case "invalid_format":
      return `must match ${issue.pattern ?? issue.format}`;
    default:
      return "is not allowed";
  }
}

function boundOf({ origin }: { origin: string }, relation: string, bound: number | bigint): string {
  // The list of all arguments has no number, so its sentence is a whole one.
  if (origin === "array") return `the operation takes ${relation} ${bound}`;
  return origin === "string"
    ? `must have ${relation} ${bound} characters`
    : `must be ${relation} ${bound}`;
}

function checkArgv(name: string, argv: readonly string[]): void {
  const [program] = argv;
  if (program === undefined || !PROGRAM.test(program)) {
    throw new CommandDefinitionError(name, `${JSON.stringify(program)} is not a program's name`);
  }
  const broken = argv.find((word) => word.includes("\0") || !word.isWellFormed());
  if (broken !== undefined) {
    throw new CommandDefinitionError(name, `${JSON.stringify(broken)} cannot be an argument`);
  }
}

/** The longest argument, in characters. Paths and addresses are shorter on every system. */
const MAX_CHARACTERS = 4_096;

/**
 * Returns what is wrong with an argument besides its schema; `null` if nothing is. If the schema
 * converts it to a list or an object, its parts are checked.
 *
 * Quoting would carry such text safely. It is refused because a program reads it differently from
 * what a person sees: as an option, as a second line, or not at all.
 */
export function argumentProblem(value: unknown): string | null {
  if (typeof value === "object" && value !== null) {
    return (
      Object.values(value)
        .map(argumentProblem)
        .find((problem) => problem !== null) ?? null
    );
  }
  // A number is text in a command line: -5 is an option of kill, head and nice.
  if (typeof value === "number" || typeof value === "bigint") return argumentProblem(`${value}`);
  if (typeof value !== "string") return null;
  if (value.length > MAX_CHARACTERS) return `is longer than ${MAX_CHARACTERS} characters`;
  if (value.startsWith("-")) return 'begins with "-", which programs read as an option';
  if (!value.isWellFormed()) return "is not well-formed Unicode";
  // Control characters, format characters (invisible, or changing the direction of text), and line
  // and paragraph separators.
  if (/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(value)) return "holds a control or invisible character";
  return null;
}
