import { mkdirSync, readdirSync } from "node:fs";
import { homedir } from "node:os";
import path from "node:path";

type Variables = Readonly<Record<string, string | undefined>>;

const SYSTEM = "/var/lib/loom-agent";

/**
 * Where an agent keeps what outlives it, readable by its user only: `LOOM_STATE_DIR`, or what
 * systemd made for it, or the user's own folder for such things.
 */
export const stateDir = (variables: Variables): string =>
  variables.LOOM_STATE_DIR?.trim() ||
  variables.STATE_DIRECTORY?.split(":")[0] ||
  path.join(variables.XDG_STATE_HOME || path.join(homedir(), ".local/state"), "loom-agent");

/** Makes the folder if it is not there. */
export function makeStateDir(folder: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
}

const SUFFIX = ".sock";

/** Where the agent of this node answers. */
export const socketOf = (folder: string, node: string): string =>
  path.join(folder, `${node}${SUFFIX}`);

/**
 * Where the agent of this node keeps outcomes that the database does not have yet. In another database
 * their jobs' ids are other jobs': those outcomes wait until the agent works for theirs again. A database
 * is known by its address.
 */
export function journalOf(folder: string, node: string, databaseUrl: string): string {
  const { host, pathname } = new URL(databaseUrl);
  const address = `${host}${pathname}`.replace(/\/+$/, "").replaceAll(/[:/]/g, "_");
  return path.join(folder, `${node}@${address}.journal`);
}

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
