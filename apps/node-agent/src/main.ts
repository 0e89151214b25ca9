#!/usr/bin/env node
import { doctor } from "./commands/doctor.ts";
import { install, uninstall } from "./commands/install.ts";
import { type Command, parseCommand, USAGE } from "./commands/parse-command.ts";
import { start } from "./commands/start.ts";
import { status } from "./commands/status.ts";
import { steer } from "./commands/steer.ts";
import { UsageError } from "./errors.ts";
import { toExit } from "./exit.ts";

const RUN: Readonly<Record<string, (command: Command) => Promise<unknown>>> = {
  start,
  status: (command) => status(command, process.env),
  pause: (command) => steer(command, process.env),
  drain: (command) => steer(command, process.env),
  resume: (command) => steer(command, process.env),
  install: (command) => install(command, process.env),
  uninstall: (command) => uninstall(command, process.env),
};

async function main(args: readonly string[]): Promise<number> {
  const command = parseCommand(args);
  if (command === "help") {
    console.log(USAGE);
    return 0;
  }
  if (command.verb === "doctor") return (await doctor(command, process.env)) ? 0 : 1;
  await RUN[command.verb]?.(command);
  return 0;
}

// A step that goes on after its abort would keep the process alive for as long as it likes.
main(process.argv.slice(2)).then(
  (code) => process.exit(code),
  (error: unknown) => {
    const { code, message } = toExit(error);
    console.error(message);
    if (error instanceof UsageError) console.error(`\n${USAGE}`);
    process.exit(code);
  },
);
