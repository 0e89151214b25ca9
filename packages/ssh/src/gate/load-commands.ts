import { stat } from "node:fs/promises";
import path from "node:path";
import { pathToFileURL } from "node:url";
import type { Request } from "../command-line.ts";
import { RefusedError } from "./refused-error.ts";

/** Turns what was asked for into program and arguments. */
export type Allowlist = (request: Request) => readonly string[];

/**
 * Imports the allowlist that a node's admin wrote.
 *
 * @throws RefusedError when others can change the file, or it exports no `commands`. What the
 * returned function throws says why an operation, or its arguments, are not allowed.
 */
export async function loadCommands(file: string): Promise<Allowlist> {
  await checkOwned(file);
  const exports: Record<string, unknown> = await import(pathToFileURL(path.resolve(file)).href);
  const { commands } = exports;
  if (typeof commands !== "object" || commands === null) {
    throw new RefusedError(`${file} exports no commands: export what defineCommands returns`);
  }
  const names = Object.keys(commands);
  return ({ name, args }) => {
    // By shape: the module has imported a copy of this package of its own.
    const operation: unknown = names.includes(name) ? Reflect.get(commands, name) : undefined;
    if (typeof operation !== "function") {
      throw new RefusedError(`no operation ${JSON.stringify(name)}; there are ${names.join(", ")}`);
    }
    return readArgv(operation(...args));
  };
}

function readArgv(command: unknown): readonly string[] {
  const argv: unknown = Object(command).argv;
  if (Array.isArray(argv) && argv.length > 0 && argv.every((word) => typeof word === "string")) {
    return argv;
  }
  throw new RefusedError("commands holds something else than operations of defineCommands");
}

/** As sshd asks of authorized_keys: who can change the file, or the folder it is in, decides what runs. */
async function checkOwned(file: string): Promise<void> {
  if (process.getuid === undefined) return;
  for (const place of [file, path.dirname(path.resolve(file))]) {
    const { mode, uid } = await stat(place);
    // A sticky folder such as /tmp lets nobody replace another one's file.
    const sticky = place !== file && (mode & 0o1000) !== 0;
    if (((mode & 0o022) !== 0 && !sticky) || (uid !== 0 && uid !== process.getuid())) {
      throw new RefusedError(
        `${place} can be changed by others: chmod go-w it, owned by root or this user`,
      );
    }
  }
}
