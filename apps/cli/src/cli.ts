import type { Command } from "@commander-js/extra-typings";
import { connect, type Hub } from "./hub/connect.ts";
import { type Cell, paint, toTable } from "./output/text.ts";

/** The root of the command line, to which commands are added. */
export type Program = Pick<Command, "command">;

/** The version of every JSON shape. Only additions are made within one. */
const JSON_VERSION = 1;

/** The context that each command gets: its options, the hub and the two streams. */
export interface Cli {
  readonly env: NodeJS.ProcessEnv;
  /** The arguments as they were typed. */
  readonly argv: readonly string[];
  /** Whether a program reads the output. */
  readonly json: boolean;
  /** The name that `--context` gives. */
  readonly context: string | undefined;
  /** Whether a person reads standard output. */
  readonly isTerminal: boolean;
  /**
   * The hub, found once.
   *
   * @throws CliError `NO_HUB`, `UNKNOWN_CONTEXT`, `CONTEXTS_EXPOSED`, `CONTEXTS_UNREADABLE`.
   */
  hub(): Hub;
  /** The hub that was asked, for errors. */
  asked(): Hub | undefined;
  /** Data, on standard output. */
  print(line: string): void;
  /** Text as it is, on standard output; resolves when a slow reader has taken it. */
  write(text: string): Promise<void>;
  /** Called when the reader of an output went away, before the program ends. */
  beforePipeEnd: (() => Promise<void>) | undefined;
  /** A message for a person, on standard error. */
  note(line: string): void;
  /** One JSON value on one line of standard output, with its version. */
  printJson(value: object): void;
  table(heading: readonly string[], rows: readonly (readonly Cell[])[]): void;
  /** The text of a cell in its colour. */
  paint(cell: Cell): string;
}

/** @param options - Read when they are needed: the command line is parsed later. */
export function createCli(
  options: () => { json?: true | undefined; context?: string | undefined },
  argv: readonly string[],
): Cli {
  const { stdout, stderr, env } = process;
  let hub: Hub | undefined;
  const print = (line: string) => void stdout.write(`${line}\n`);
  return {
    env,
    argv,
    get json() {
      return options().json ?? false;
    },
    get context() {
      return options().context;
    },
    isTerminal: stdout.isTTY === true,
    hub() {
      hub ??= connect(env, options().context);
      return hub;
    },
    asked: () => hub,
    print,
    write: (text) =>
      new Promise((resolve) => {
        if (stdout.write(text)) resolve();
        else stdout.once("drain", resolve);
      }),
    beforePipeEnd: undefined,
    note: (line) => void stderr.write(`${line}\n`),
    printJson: (value) => print(JSON.stringify({ version: JSON_VERSION, ...value })),
    table: (heading, rows) => print(toTable(heading, rows, stdout)),
    paint: (cell) => (typeof cell === "string" ? cell : paint(cell.text, cell.colour, stdout)),
  };
}
