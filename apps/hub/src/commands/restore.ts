import { chmodSync, existsSync, mkdirSync, readdirSync, rmdirSync, writeFileSync } from "node:fs";
import { rename, rm } from "node:fs/promises";
import path from "node:path";
import { BackupError, checkBackup, describeCause, loadDatabase, type Manifest } from "@loom/backup";
import type { Variables } from "@loom/program";
import { migrationScript } from "@loom/queue";
import postgres, { type Sql } from "postgres";
import { dataDirOf } from "../embedded.ts";
import { keptFiles, putFiles } from "./kept-files.ts";

type Backup = Awaited<ReturnType<typeof checkBackup>> & { file: string };

/**
 * Makes a data folder from a backup, or fills the empty database at `DATABASE_URL`. It first checks the whole backup.
 * After a failure nothing is left.
 *
 * @throws BackupError, and the errors of `@loom/local-db`.
 */
export async function restore(file: string, variables: Variables): Promise<void> {
  const direct = variables.DATABASE_URL?.trim();
  const dataDir = direct ? undefined : await dataDirOf(variables);
  if (dataDir !== undefined) refuseData(dataDir);
  const backup = { file: path.resolve(file), ...(await checkBackup(path.resolve(file))) };
  const place = direct ? "the database at DATABASE_URL" : String(dataDir);
  try {
    if (direct) await restoreProject(direct, backup);
    else if (dataDir !== undefined) await restoreFolder(dataDir, backup);
  } catch (error) {
    if (error instanceof BackupError) throw error;
    throw new BackupError(
      `${file} could not be restored into ${place}: ${describeCause(error)}. Nothing is left of it.`,
      { cause: error },
    );
  }
  const others = putFiles(backup.files, keptFiles(dataDir, variables));
  const rows = backup.manifest.tables.reduce((sum, table) => sum + table.rows, 0);
  console.log(
    `${place}: ${rows} rows of ${backup.manifest.tables.length} tables, as of ${backup.manifest.createdAt}`,
  );
  for (const other of others)
    console.log(`kept ${other}, which differs from the one in the backup`);
}

function refuseData(dataDir: string): void {
  if (!existsSync(dataDir) || readdirSync(dataDir).length === 0) return;
  throw new BackupError(
    `${dataDir} is not empty: move it away, or name another folder with LOOM_DATA_DIR. Nothing was restored.`,
  );
}

/** Fills a folder beside the final one and renames it when it is complete. */
async function restoreFolder(dataDir: string, backup: Backup): Promise<void> {
  const { startLocalDb } = await import("@loom/local-db");
  const work = `${dataDir}.restoring-${process.pid}`;
  const secret = backup.files.get("files/jwt-secret");
  let isDone = false;
  try {
    mkdirSync(work, { recursive: true });
    // Root's hub runs Postgres as another user, who has to enter this folder.
    if (process.getuid?.() === 0) chmodSync(work, 0o755);
    // With the same secret, the existing keys of programs stay valid.
    if (secret) writeFileSync(path.join(work, "jwt-secret"), secret, { mode: 0o600 });
    const local = await startLocalDb({ dataDir: work, schema: await migrationScript() });
    try {
      await loadAndVerify(local.sql, backup);
    } finally {
      await local.stop();
    }
    if (existsSync(dataDir)) rmdirSync(dataDir);
    await rename(work, dataDir);
    isDone = true;
  } finally {
    if (!isDone) await rm(work, { recursive: true, force: true });
  }
}

async function restoreProject(url: string, backup: Backup): Promise<void> {
  const sql = postgres(url, { max: 1, onnotice: () => {} });
  try {
    const [found] = await sql<{ has: boolean }[]>`
      select exists (select from public.loom_runs) or exists (select from public.loom_job_queue) as has`;
    if (found?.has) {
      throw new BackupError(
        "The database at DATABASE_URL has runs or jobs: restore into an empty one that `loom-hub migrate` has made. Nothing was restored.",
      );
    }
    await loadAndVerify(sql, backup);
  } finally {
    await sql.end({ timeout: 1 });
  }
}

async function loadAndVerify(
  sql: Sql,
  backup: { file: string; manifest: Manifest },
): Promise<void> {
  await loadDatabase(sql, backup);
  await sql`analyze`;
}
