#!/usr/bin/env node
import { endWithReader, runProgram } from "@loom/program";
import { status, steer } from "./commands/ask-agent.ts";
import { doctor } from "./commands/doctor.ts";
import { install, uninstall } from "./commands/install.ts";
import { join } from "./commands/join.ts";
import { leave } from "./commands/leave.ts";
import { type Command, parseCommand, USAGE } from "./commands/parse-command.ts";
import { rotate } from "./commands/rotate-key.ts";
import { start } from "./commands/start.ts";
import { UsageError } from "./errors.ts";
import { toExit } from "./exit.ts";

const RUN: Readonly<Record<string, (command: Command) => Promise<unknown>>> = {
  join: (command) => join(command, process.env),
  leave: (command) => leave(command, process.env),
  start,
  status: (command) => status(command, process.env),
  pause: (command) => steer(command, process.env),
  drain: (command) => steer(command, process.env),
  resume: (command) => steer(command, process.env),
  "rotate-key": (command) => rotate(command, process.env),
  install: (command) => install(command, process.env),
  uninstall: (command) => uninstall(command, process.env),
};

async function main(args: readonly string[]): Promise<number> {
  const command = parseCommand(args);
  if (command === "help") {
    console.log(USAGE);
    return 0;
  }
  if (command.verb !== "start") endWithReader();
  if (command.verb === "doctor") return (await doctor(command, process.env)) ? 0 : 1;
  await RUN[command.verb]?.(command);
  return 0;
}

runProgram(main, (error) => {
  const exit = toExit(error);
  return error instanceof UsageError ? { ...exit, message: `${exit.message}\n\n${USAGE}` } : exit;
});
