#!/usr/bin/env node
import { constants } from "node:os";
import { inspect } from "node:util";
import { type CliError, toCliError } from "./errors.ts";
import { EXEC_FAULT } from "./exit-codes.ts";
import { clean } from "./output/text.ts";
import { createProgram } from "./program.ts";

const argv = process.argv.slice(2);
const { cli, program, help } = createProgram(argv);
// `| head` closes the pipe: the program ends without a word, as others do.
for (const stream of [process.stdout, process.stderr]) {
  stream.on("error", () => {
    const end = () => process.exit(128 + constants.signals.SIGPIPE);
    if (cli.beforePipeEnd) cli.beforePipeEnd().then(end, end);
    else end();
  });
}
try {
  if (argv.length === 0) program.outputHelp();
  else await program.parseAsync(argv, { from: "user" });
} catch (thrown) {
  process.exitCode = fail(thrown);
}
// What a pipe has not taken yet would be lost by an exit.
await Promise.all([process.stdout, process.stderr].map(written));
// A stream of the hub, or a prompt, could keep the process alive.
process.exit();

/** Says what happened, and returns the exit code. */
function fail(thrown: unknown): number {
  const { code, exitCode } = thrown as { code?: unknown; exitCode?: number };
  // Somebody asked for help or the version: the parser has printed it.
  if (String(code).startsWith("commander.") && exitCode === 0) return 0;
  // A noun without a verb, such as `loom node`.
  if (code === "commander.help") {
    process.stderr.write(help());
    return 2;
  }
  const error = toCliError(thrown, { argv, url: cli.asked()?.url });
  const exit = runsCommand() ? EXEC_FAULT : error.exit;
  process.stderr.write(cli.json ? toJson(error, exit) : toText(error));
  return exit;
}

/** Whether the exit code is one of a command's own, beside which the program's would be mistaken for it. */
function runsCommand(): boolean {
  const verb = argv.find((word, at) => !word.startsWith("-") && argv[at - 1] !== "--context");
  return verb === "exec" || verb === "attach";
}

function toText({ message, code, why, fix, cause }: CliError): string {
  const trace = code === "FAULT" && process.env.LOOM_DEBUG ? `${inspect(cause)}\n` : "";
  const line = (text: string) => clean(text).replaceAll(/\s*\n\s*/g, " ");
  return `loom: ${line(message)} [${code}]\n  why  ${line(why)}\n  fix  ${line(fix)}\n${trace}`;
}

function toJson({ message, code, why, fix }: CliError, exit: number): string {
  return `${JSON.stringify({ version: 1, error: { code, what: message, why, fix, exit } })}\n`;
}

function written(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => stream.write("", () => resolve()));
}
