import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import path from "node:path";
import {
  BackupError,
  type Dump,
  describeCause,
  digestOf,
  dumpDatabase,
  MANIFEST,
  type Manifest,
  writeArchive,
} from "@loom/backup";
import { EnvError, type Variables } from "@loom/program";
import postgres, { type Sql } from "postgres";
import { dataDirOf } from "../embedded.ts";
import { version } from "../version.ts";
import { keptFiles } from "./kept-files.ts";

/**
 * Writes the database as of one moment, and the files beside it that cannot be made again, to one file. The hub may
 * work meanwhile.
 *
 * @throws BackupError, EnvError
 */
export async function backup(file: string, variables: Variables): Promise<void> {
  const startedAt = performance.now();
  try {
    await writeBackup(file, variables, startedAt);
  } catch (error) {
    if (error instanceof BackupError || error instanceof EnvError) throw error;
    throw new BackupError(
      `${file} could not be written: ${describeCause(error)}. Nothing is left of it.`,
      { cause: error },
    );
  }
}

async function writeBackup(file: string, variables: Variables, startedAt: number): Promise<void> {
  const source = await openSource(variables);
  try {
    const parts: Manifest["parts"] = {};
    const { tables } = await writeArchive(path.resolve(file), async (write) => {
      const add = async (name: string, data: Buffer) => {
        parts[name] = digestOf(data);
        await write(name, data);
      };
      for (const [name, place] of source.files) {
        if (existsSync(place)) await add(`files/${name}`, await readFile(place));
      }
      const dump: Dump = await dumpDatabase(source.sql, add);
      const manifest: Manifest = {
        format: "loom.backup/v1",
        version,
        createdAt: new Date().toISOString(),
        ...dump,
        parts,
      };
      await write(MANIFEST, Buffer.from(JSON.stringify(manifest, null, 2)));
      return dump;
    });
    const rows = tables.reduce((sum, table) => sum + table.rows, 0);
    const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1);
    console.log(`${file}: ${rows} rows of ${tables.length} tables, in ${seconds} s`);
  } finally {
    await source.close();
  }
}

interface Source {
  sql: Sql;
  /** The files that belong to the backup, by name. */
  files: ReadonlyMap<string, string>;
  close(): Promise<void>;
}

/** Opens the database that the variables name: a project's by its direct connection, else the embedded one. */
async function openSource(variables: Variables): Promise<Source> {
  const direct = variables.DATABASE_URL?.trim();
  if (direct) {
    const sql = postgres(direct, { max: 1, onnotice: () => {} });
    return { sql, files: keptFiles(undefined, variables), close: () => sql.end({ timeout: 1 }) };
  }
  if (variables.SUPABASE_URL?.trim()) {
    throw new EnvError(
      "a backup of a Supabase project needs DATABASE_URL: the direct connection of your project, with its password",
    );
  }
  const dataDir = await dataDirOf(variables);
  if (!existsSync(path.join(dataDir, "postgres"))) {
    throw new BackupError(
      `There is no database in ${dataDir}: name its folder with LOOM_DATA_DIR (npm start keeps it in .loom of the clone).`,
    );
  }
  const { connectToRunning, startLocalDb } = await import("@loom/local-db");
  const running = await connectToRunning(dataDir);
  const files = keptFiles(dataDir, variables);
  if (running) return { sql: running, files, close: () => running.end({ timeout: 1 }) };
  // The database does not run, so it is started for the duration of the backup.
  const local = await startLocalDb({ dataDir, schema: "" });
  return { sql: local.sql, files, close: local.stop };
}
