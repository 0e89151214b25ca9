import type { z } from "zod";
import { argumentProblem } from "./argument.ts";
import { CommandDefinitionError, CommandNotAllowedError, InvalidArgumentsError } from "./errors.ts";

/** One operation with its arguments, ready to be run; only {@link defineCommands} makes them. */
export interface Command {
  /** Its name in the allowlist. */
  readonly name: string;
  /** As they were given, and passed the schema. */
  readonly args: readonly Argument[];
  /** Program and arguments, one word each. */
  readonly argv: readonly string[];
}

/** What an operation can be given: it travels as JSON. */
export type Argument = string | number | boolean;

/** A tuple of arguments, such as `z.tuple([z.string().regex(/^[a-z]+$/)])`. */
export type ArgumentSchema = z.ZodType<readonly unknown[], readonly Argument[]>;

/** One operation of an allowlist. */
export interface CommandDefinition<Schema extends ArgumentSchema> {
  readonly args: Schema;
  /**
   * Program and arguments, one word each. It is called where the command is made, and again on
   * the node if a gate guards it.
   */
  readonly argv: (...args: Rest<z.output<Schema>>) => readonly [string, ...string[]];
}

/** Functions that check their arguments and make a {@link Command}. */
export type Commands<Schemas extends Record<string, ArgumentSchema>> = {
  readonly [Name in keyof Schemas]: (...args: Rest<z.input<Schemas[Name]>>) => Command;
};

/** A tuple, said so that the compiler takes it for a parameter list. */
type Rest<Tuple> = Tuple extends readonly unknown[] ? Tuple : never;

const NAME = /^[a-z][A-Za-z0-9-]{0,62}$/;
/** No option, no assignment, nothing that `exec` of a shell would read itself. */
const PROGRAM = /^[A-Za-z0-9_./][A-Za-z0-9_.+/-]*$/;

const made = new WeakSet<Command>();

/**
 * Declares an allowlist: the operations that can be run, each with typed arguments.
 *
 * Calling one checks the arguments: by its schema, and none may begin with `-` or hold control or
 * invisible characters. There is no way to add a word, an option or a shell's syntax.
 *
 * @throws CommandDefinitionError when a definition cannot work. What an operation of the returned
 * set throws is an {@link InvalidArgumentsError}.
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
  // The loop visits what the type lists; the compiler cannot see that.
  return Object.freeze(commands) as Commands<Schemas>;
}

/** @throws CommandNotAllowedError for whatever else has the shape of a command. */
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
  const parsed = definition.schema.safeParse(args);
  if (!parsed.success) {
    const problems = parsed.error.issues.map(
      ({ path, message }) => `argument ${Number(path[0] ?? 0) + 1}: ${message}`,
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
