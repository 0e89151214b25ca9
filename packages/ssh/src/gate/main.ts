#!/usr/bin/env node
import { writeSync } from "node:fs";
import { parseArgs } from "node:util";
import { beginLine, parseLine } from "../command-line.ts";
import { loadCommands, RefusedError } from "./load-commands.ts";
import { superviseCommand } from "./supervise-command.ts";

const USAGE = `usage: loom-ssh-gate --config <file>

Lets an SSH key run named operations and nothing else. In authorized_keys:

  command="/usr/local/bin/loom-ssh-gate --config /etc/loom/gate.mjs",restrict ssh-ed25519 AAAA…

The file is a module that exports what defineCommands of @loom/ssh returns, as \`commands\`.`;

/** sysexits.h */
const EX_USAGE = 64;
const EX_NOPERM = 77;

async function main(): Promise<void> {
  const { config, help } = readArguments();
  if (help) {
    console.log(USAGE);
    return;
  }
  const line = process.env.SSH_ORIGINAL_COMMAND;
  if (line === undefined) throw new RefusedError("this key runs named operations, not a shell");
  const request = parseLine(line);
  if (request === null) {
    throw new RefusedError("the line is not one that @loom/ssh sends; this key runs nothing else");
  }
  // Written at once, before the command can write. From here on, output belongs to the answer.
  for (const output of [1, 2]) writeSync(output, beginLine(request.nonce));
  const commands = await loadCommands(config);
  const argv = commands(request);
  const { code, signal } = await superviseCommand(argv, { limitMs: request.limitSeconds * 1_000 });
  // To sshd, the gate ends in the same way as the command.
  if (signal !== null) process.kill(process.pid, signal);
  process.exitCode = code ?? 1;
}

function readArguments(): { config: string; help: boolean } {
  try {
    const { values } = parseArgs({
      options: { config: { type: "string" }, help: { type: "boolean", short: "h" } },
    });
    if (values.help) return { config: "", help: true };
    if (values.config) return { config: values.config, help: false };
  } catch {
    // Invalid arguments get the usage.
  }
  console.error(USAGE);
  process.exit(EX_USAGE);
}

main().catch((error: unknown) => {
  const reason = error instanceof Error ? error.message : String(error);
  // On one line, because the holder of the key wrote the refused text.
  console.error(`loom-ssh-gate refuses: ${reason.replaceAll(/\s+/g, " ").slice(0, 1_000)}`);
  process.exitCode = EX_NOPERM;
});
