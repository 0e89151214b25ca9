import { createHash } from "node:crypto";
import {
  access,
  chmod,
  chown,
  constants,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  stat,
} from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { DataDirUnreachableError, DataDirVersionError } from "./errors.ts";
import type { PostgresBinaries } from "./postgres/binaries.ts";
import { initCluster } from "./postgres/server.ts";
import { type Account, canEnter, isRoot, nobody } from "./process/account.ts";
import { hold } from "./process/custody.ts";
import { isRunning } from "./process/process-group.ts";

/**
 * Returns the default data folder of a project: `<project>/.loom`, or another name in it.
 *
 * If this process runs as root and only root can enter the project (for example under `/root`), it
 * returns a folder for the project in `/var/lib/loom`, because Postgres then runs as an
 * unprivileged user.
 */
export function defaultDataDir(projectDir: string, name = ".loom"): string {
  if (!isRoot() || canEnter(projectDir, nobody())) return join(projectDir, name);
  const hash = createHash("sha256").update(projectDir).digest("hex").slice(0, 8);
  return join("/var/lib/loom", `${basename(projectDir)}-${hash}`);
}

/** A data folder that exists, and the user that Postgres runs as in it. */
export interface OpenDataDir {
  /** The cluster's folder inside the data folder. It may not exist yet. */
  readonly data: string;
  /** Undefined: this process's user. */
  readonly account: Account | undefined;
}

/**
 * Creates a data folder if it is missing.
 *
 * @throws DataDirUnreachableError when Postgres could not use it.
 */
export async function openDataDir(dataDir: string): Promise<OpenDataDir> {
  try {
    await createDirectory(dataDir);
    await access(dataDir, constants.W_OK | constants.X_OK);
  } catch (cause) {
    throw new DataDirUnreachableError(dataDir, (cause as Error).message, { cause });
  }
  const data = join(dataDir, "postgres");
  const owner = await stat(data).catch(() => undefined);
  if (!isRoot()) {
    if (owner && owner.uid !== process.getuid?.()) {
      throw new DataDirUnreachableError(dataDir, `its cluster belongs to user ${owner.uid}`);
    }
    return { data, account: undefined };
  }
  // Root acts for the user who created the cluster: `npm start` may run once without and once with
  // sudo.
  const account =
    owner && owner.uid !== 0
      ? { name: `user ${owner.uid}`, uid: owner.uid, gid: owner.gid }
      : nobody();
  if (!canEnter(dataDir, account)) {
    throw new DataDirUnreachableError(
      dataDir,
      `it does not run as root but as ${account.name}, who cannot enter that folder (one in /var/lib would do)`,
    );
  }
  return { data, account };
}

async function createDirectory(directory: string): Promise<void> {
  const first = await mkdir(directory, { recursive: true });
  if (!first || !isRoot()) return;
  // Another user has to pass through the new folders, whatever root's umask is.
  for (let made = directory; made.length >= first.length; made = dirname(made)) {
    await chmod(made, 0o755);
  }
}

/**
 * Creates the cluster if there is none. An interrupted attempt leaves nothing, because the cluster
 * gets its name only when it is complete.
 *
 * @throws DataDirVersionError when another major version of Postgres created the existing cluster.
 */
export async function ensureCluster(
  dataDir: string,
  options: OpenDataDir & { binaries: PostgresBinaries },
): Promise<void> {
  const { data, account, binaries } = options;
  const version = await readFile(join(data, "PG_VERSION"), "utf8").catch(() => undefined);
  if (version !== undefined) {
    const versions = { found: Number(version), expected: binaries.majorVersion };
    if (versions.found !== versions.expected) throw new DataDirVersionError(dataDir, versions);
    return;
  }
  await removeLeftovers(dataDir);
  const partial = `${data}.new-${process.pid}`;
  const letGo = await hold({ kind: "directory", path: partial });
  try {
    await mkdir(partial, { mode: 0o700 });
    if (account) await chown(partial, account.uid, account.gid);
    await initCluster({ binaries, account, data: partial, isDurable: true });
    await rename(partial, data);
  } finally {
    await rm(partial, { recursive: true, force: true });
    letGo();
  }
}

/** A power failure during initdb leaves its folder behind. No live process owns that folder. */
async function removeLeftovers(dataDir: string): Promise<void> {
  for (const entry of await readdir(dataDir)) {
    const [, pid] = /^postgres\.new-(\d+)$/.exec(entry) ?? [];
    if (pid && !isRunning(Number(pid))) {
      await rm(join(dataDir, entry), { recursive: true, force: true });
    }
  }
}
