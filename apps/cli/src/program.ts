import { Command } from "@commander-js/extra-typings";
import { createCli } from "./cli.ts";
import { defineDoctor } from "./commands/doctor.ts";
import { defineFiles } from "./commands/files.ts";
import { defineHook } from "./commands/hook.ts";
import { defineLogin } from "./commands/login.ts";
import { defineLogs } from "./commands/logs.ts";
import { defineNode } from "./commands/node.ts";
import { defineOpen } from "./commands/open.ts";
import { defineQueue } from "./commands/queue.ts";
import { defineRun } from "./commands/run.ts";
import { defineRuns } from "./commands/runs.ts";
import { defineSchedule } from "./commands/schedule.ts";
import { defineToken } from "./commands/token.ts";
import { defineApproval } from "./commands/waits/approval.ts";
import { defineSignal } from "./commands/waits/signal.ts";
import { defineWhy } from "./commands/why.ts";
import { defineWorkflow } from "./commands/workflow.ts";
import { defineCompletion } from "./completion/define.ts";
import { defineExec } from "./exec/define.ts";
import { defineMcp } from "./mcp/define.ts";
import { defineTop } from "./top/define.ts";
import { defineTypes } from "./types/define.ts";
import { version } from "./version.ts";

/** The whole command line. Large libraries are imported by the commands that need them. */
export function createProgram(argv: readonly string[]) {
  let written = "";
  const program = new Command("loom")
    .description("Run workflows on the machines of your mesh, follow them, and ask why one waits.")
    .version(version, "-V, --version", "print the version")
    .option("--json", "print JSON, for programs")
    .option("--context <context>", "the hub to talk to, as `loom context ls` names it")
    .helpOption("-h, --help", "explain a command")
    .helpCommand("help [command]", "explain a command")
    .configureHelp({ showGlobalOptions: true })
    // Errors of the parser are printed as all others are.
    .configureOutput({ writeErr: (text) => (written += text), getErrHasColors: () => false })
    .exitOverride();
  const cli = createCli(() => program.opts(), argv);

  program.commandsGroup("Runs:");
  defineExec(program, cli);
  defineRun(program, cli);
  defineSignal(program, cli);
  defineRuns(program, cli);
  defineLogs(program, cli);
  defineFiles(program, cli);
  defineWhy(program, cli);
  defineApproval(program, cli);
  defineTop(program, cli);
  program.commandsGroup("Workflows and machines:");
  defineWorkflow(program, cli);
  defineNode(program, cli);
  defineSchedule(program, cli);
  defineQueue(program, cli);
  program.commandsGroup("The hub:");
  defineDoctor(program, cli);
  defineOpen(program, cli);
  defineToken(program, cli);
  defineHook(program, cli);
  defineLogin(program, cli);
  program.commandsGroup("This machine:");
  defineTypes(program, cli);
  defineCompletion(program, cli);
  defineMcp(program, cli);
  return {
    cli,
    program,
    /** What the parser wrote for standard error: the help of a command that needs another word. */
    help: () => written,
  };
}
