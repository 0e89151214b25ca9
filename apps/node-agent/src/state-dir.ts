import { existsSync, mkdirSync, readdirSync } from "node:fs";
import path from "node:path";
import { stateDirOf, type Variables } from "@loom/program";

const SYSTEM = "/var/lib/loom-agent";

/**
 * The folder in which an agent keeps its state, readable by its user only.
 *
 * @throws EnvError where the user has no home and needs one.
 */
export function stateDir(variables: Variables): string {
  const folder = stateDirOf(variables, "loom-agent");
  // Root looks after the agent of the machine, unless it has one of its own.
  const isGiven = !!(variables.LOOM_STATE_DIR?.trim() || variables.STATE_DIRECTORY);
  const isSystems =
    !isGiven &&
    process.getuid?.() === 0 &&
    !existsSync(path.join(folder, "hub.json")) &&
    existsSync(path.join(SYSTEM, "hub.json"));
  return isSystems ? SYSTEM : folder;
}

/** Makes the folder if it does not exist. */
export function makeStateDir(folder: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
}

const SUFFIX = ".sock";

/** The socket on which the agent of this node answers. */
export const socketOf = (folder: string, node: string): string =>
  path.join(folder, `${node}${SUFFIX}`);

/**
 * Where the agent of this node keeps outcomes that the database does not have yet, of whichever
 * database: each entry names its own.
 */
export const journalOf = (folder: string, node: string): string =>
  path.join(folder, `${node}.journal`);

/**
 * The nodes whose agents have, or had, a socket here: in the folder that the variables name, or
 * in the user's own and the system's.
 *
 * @throws The system's error for a folder that is there and cannot be read.
 */
export function findSockets(variables: Variables): { node: string; socket: string }[] {
  const folders = variables.LOOM_STATE_DIR?.trim()
    ? [stateDir(variables)]
    : [stateDir(variables), SYSTEM];
  return folders.flatMap((folder) =>
    namesIn(folder)
      .filter((name) => name.endsWith(SUFFIX))
      .map((name) => ({ node: name.slice(0, -SUFFIX.length), socket: path.join(folder, name) })),
  );
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}
