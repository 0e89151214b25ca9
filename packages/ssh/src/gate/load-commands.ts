import { stat } from "node:fs/promises";
import path from "node:path";
import { pathToFileURL } from "node:url";
import type { Request } from "../command-line.ts";

/** Converts a request to program and arguments. */
export type Allowlist = (request: Request) => readonly string[];

/**
 * Imports the allowlist that a node's admin wrote.
 *
 * @throws RefusedError when other users can change the file, or it exports no `commands`. The
 * returned function throws an error that says why an operation or its arguments are not allowed.
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
    // By its shape, because the module may have imported its own copy of this package.
    const operation: unknown = names.includes(name) ? Reflect.get(commands, name) : undefined;
    if (typeof operation !== "function") {
      throw new RefusedError(
        `unknown operation ${JSON.stringify(name)}; known operations: ${names.join(", ")}`,
      );
    }
    return readArgv(operation(...args));
  };
}

function readArgv(command: unknown): readonly string[] {
  const argv: unknown = Object(command).argv;
  if (Array.isArray(argv) && argv.length > 0 && argv.every((word) => typeof word === "string")) {
    return argv;
  }
  throw new RefusedError("commands contains entries that are not operations of defineCommands");
}

/**
 * As sshd requires for authorized_keys: a user who can change the file or its folder decides what
 * runs.
 */
async function checkOwned(file: string): Promise<void> {
  if (process.getuid === undefined) return;
  for (const place of [file, path.dirname(path.resolve(file))]) {
    const { mode, uid } = await stat(place);
    // In a sticky folder such as /tmp, users cannot replace each other's files.
    const sticky = place !== file && (mode & 0o1000) !== 0;
    if (((mode & 0o022) !== 0 && !sticky) || (uid !== 0 && uid !== process.getuid())) {
      throw new RefusedError(
        `${place} can be changed by others: chmod go-w it, owned by root or this user`,
      );
    }
  }
}

/** The gate refuses to run the requested command. */
export class RefusedError extends Error {
  override readonly name = "RefusedError";
  readonly code = "REFUSED";
}
