import { once } from "node:events";
import type { Writable } from "node:stream";
import { migrationNames } from "@loom/queue";
import type { Sql, TransactionSql } from "postgres";
import { damaged, digestOf, readArchive } from "./archive.ts";
import { columnList, listTables, quoteName } from "./dump.ts";
import { BackupError } from "./errors.ts";
import { type BackupTable, MANIFEST, type Manifest, manifestSchema, partOf } from "./manifest.ts";

/**
 * Reads a backup to its end and checks every part, so that an incomplete backup is never restored.
 *
 * @returns Its manifest, and the parts that are not tables.
 * @throws BackupError when the backup is cut off, damaged, or made by another version of Loom.
 */
export async function checkBackup(
  file: string,
): Promise<{ manifest: Manifest; files: ReadonlyMap<string, Buffer> }> {
  const found = new Map<string, { bytes: number; sha256: string }>();
  const files = new Map<string, Buffer>();
  let last: Buffer | undefined;
  for await (const { name, data } of readArchive(file)) {
    last = undefined;
    if (name === MANIFEST) last = Buffer.from(data);
    else found.set(name, digestOf(data));
    if (!name.startsWith("tables/") && name !== MANIFEST) files.set(name, Buffer.from(data));
  }
  const manifest = parseManifest(file, last);
  const expected = Object.entries(manifest.parts);
  const isWhole =
    expected.length === found.size &&
    expected.every(([name, { sha256 }]) => found.get(name)?.sha256 === sha256);
  if (!isWhole) throw damaged(file);
  const ours = await migrationNames();
  if (ours.join() !== manifest.migrations.join()) {
    throw new BackupError(
      `Another version of Loom (${manifest.version}) made ${file}: restore it with that one. Nothing was restored.`,
    );
  }
  return { manifest, files };
}

function parseManifest(file: string, text: Buffer | undefined): Manifest {
  try {
    return manifestSchema.parse(JSON.parse(String(text)));
  } catch (error) {
    throw damaged(file, error);
  }
}

/**
 * Replaces the rows of Loom's tables by those of a backup, in one transaction.
 *
 * @throws BackupError when the tables differ from those of the backup, or rows are missing afterwards.
 */
export async function loadDatabase(
  sql: Sql,
  { file, manifest }: { file: string; manifest: Manifest },
): Promise<void> {
  await sql.begin(async (tx) => {
    const present = new Map((await listTables(tx)).map(({ name, columns }) => [name, columns]));
    const isSame = manifest.tables.every(({ name, columns }) => {
      const known = present.get(name);
      return known !== undefined && columns.every((column) => known.includes(column));
    });
    if (!isSame || present.size !== manifest.tables.length) {
      throw new BackupError(
        `The tables in ${file} are not those of this version of Loom: restore it with Loom ${manifest.version}. Nothing was restored.`,
      );
    }
    await tx.unsafe(
      `truncate ${[...present.keys()].map((name) => `public.${quoteName(name)}`).join(", ")}`,
    );
    // The table that the trigger keeps is in the backup.
    await tx.unsafe("alter table public.loom_jobs disable trigger loom_follow_key");
    await copyAllIn(tx, { file, manifest });
    await tx.unsafe("alter table public.loom_jobs enable trigger loom_follow_key");
    for (const { table, column, last } of manifest.sequences) {
      const sequence = `pg_get_serial_sequence('public.${quoteName(table)}', '${column}')`;
      await tx.unsafe(
        `select setval(${sequence}, greatest(${BigInt(last)}, coalesce((select max(${quoteName(column)}) from public.${quoteName(table)}), 1)))`,
      );
    }
    for (const { name, rows } of manifest.tables) {
      const [counted] = await tx.unsafe(
        `select count(*)::int as rows from public.${quoteName(name)}`,
      );
      if (counted?.rows !== rows) {
        throw new BackupError(
          `${file} has ${rows} rows of ${name}, and ${counted?.rows} arrived. Nothing was restored.`,
        );
      }
    }
  });
}

async function copyAllIn(
  tx: TransactionSql,
  { file, manifest }: { file: string; manifest: Manifest },
): Promise<void> {
  const tables = manifest.tables.filter(({ name }) => partOf(name, 0) in manifest.parts);
  let current: { table: BackupTable; rows: Writable } | undefined;
  const finish = async () => {
    if (!current) return;
    const { table, rows } = current;
    current = undefined;
    await new Promise<void>((resolve, reject) => {
      rows.once("error", reject);
      rows.end(resolve);
    });
    if (table.name === EVENTS) await renumberEvents(tx, table);
  };
  for await (const { name, data } of readArchive(file)) {
    const [, tableName] = /^tables\/(.+)\/\d+\.copy$/.exec(name) ?? [];
    if (tableName === undefined) continue;
    if (tableName !== current?.table.name) {
      await finish();
      const table = tables.find((each) => each.name === tableName);
      if (!table) throw damaged(file);
      current = { table, rows: await startCopy(tx, table) };
    }
    if (current && !current.rows.write(Buffer.from(data))) await once(current.rows, "drain");
  }
  await finish();
}

const EVENTS = "loom_event_batches";

async function startCopy(tx: TransactionSql, { name, columns }: BackupTable): Promise<Writable> {
  let into = `public.${quoteName(name)}`;
  if (name === EVENTS) {
    into = "loom_restored_events";
    await tx.unsafe(
      `create temporary table ${into} (like public.loom_event_batches) on commit drop`,
    );
  }
  const rows = await tx.unsafe(`copy ${into} (${columnList(columns)}) from stdin`).writable();
  return rows;
}

/**
 * Events are ordered by the transaction that wrote them. A new database numbers its transactions from its own
 * beginning, so events with old numbers would lie in its future and would not be read. This function keeps their order
 * and gives them the number of a transaction before every transaction of this database. A row has room for 16384 events.
 */
async function renumberEvents(tx: TransactionSql, { columns }: BackupTable): Promise<void> {
  const others = columnList(columns.filter((column) => column !== "xid" && column !== "id"));
  await tx.unsafe(
    `insert into public.loom_event_batches (xid, id, ${others}) overriding system value
     select '1', 16384 * (row_number() over (order by xid, id) - 1) + 1, ${others} from loom_restored_events`,
  );
}
