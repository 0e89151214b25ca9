import type { Readable } from "node:stream";
import type { Sql, TransactionSql } from "postgres";
import { type BackupTable, type Manifest, partOf } from "./manifest.ts";

/** The size of a part of a table, in bytes. */
const PART_BYTES = 4 * 1024 * 1024;

/** A dump's description of its database. */
export type Dump = Pick<Manifest, "migrations" | "tables" | "sequences">;

/**
 * Copies Loom's tables as of one moment, while other transactions go on. It uses one transaction, which reads one
 * snapshot, writes nothing and blocks no other transaction.
 *
 * @param add - Stores a part. The next part is read when this has finished.
 */
export const dumpDatabase = (
  sql: Sql,
  add: (name: string, data: Buffer) => Promise<void>,
): Promise<Dump> =>
  sql.begin("isolation level repeatable read read only", async (tx) => {
    const tables: BackupTable[] = [];
    for (const { name, columns } of await listTables(tx)) {
      tables.push({ name, columns, rows: await copyOut(tx, { name, columns }, add) });
    }
    const applied = await tx<{ name: string }[]>`
      select name from public.loom_migrations order by name`;
    // Sequences are outside of any snapshot, so these numbers are at or beyond the highest that was copied.
    const sequences: Manifest["sequences"] = [];
    for (const { table, column, sequence } of await listSequences(tx)) {
      const [row] = await tx.unsafe(`select last_value::text as last from ${sequence}`);
      sequences.push({ table, column, last: String(row?.last) });
    }
    return { migrations: applied.map(({ name }) => name), tables, sequences };
  });

/** Quotes a name for SQL. */
export const quoteName = (name: string): string => `"${name.replaceAll('"', '""')}"`;

/** The columns of a table for COPY. */
export const columnList = (columns: readonly string[]): string => columns.map(quoteName).join(", ");

async function copyOut(
  tx: TransactionSql,
  { name, columns }: Pick<BackupTable, "name" | "columns">,
  add: (name: string, data: Buffer) => Promise<void>,
): Promise<number> {
  const rows: Readable = await tx
    .unsafe(`copy public.${quoteName(name)} (${columnList(columns)}) to stdout`)
    .readable();
  let count = 0;
  let index = 0;
  let chunks: Buffer[] = [];
  let bytes = 0;
  const flush = async () => {
    if (bytes === 0) return;
    await add(partOf(name, index), Buffer.concat(chunks));
    index += 1;
    chunks = [];
    bytes = 0;
  };
  for await (const chunk of rows as AsyncIterable<Buffer>) {
    // Each row ends with a line feed; one in a value is written as \n.
    for (const byte of chunk) if (byte === 0x0a) count += 1;
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes >= PART_BYTES) await flush();
  }
  await flush();
  // A chunk beyond what a stream holds pauses the connection, and postgres.js resumes it in the stream's own read. That is never
  // called after the last chunk, so without this the next query would wait for ever.
  rows._read(0);
  return count;
}

/** Loom's tables with their columns, each after the tables that it refers to. The migrations are not data. */
export async function listTables(
  tx: Sql | TransactionSql,
): Promise<Pick<BackupTable, "name" | "columns">[]> {
  const found = await tx<{ name: string; columns: string[]; refers: string[] }[]>`
    select class.relname as name,
           (select array_agg(attname::text order by attnum) from pg_attribute
             where attrelid = class.oid and attnum > 0 and not attisdropped and attgenerated = '') as columns,
           array(select target.relname::text
                   from pg_constraint join pg_class as target on target.oid = confrelid
                  where conrelid = class.oid and contype = 'f' and confrelid <> conrelid) as refers
      from pg_class as class
     where class.relnamespace = 'public'::regnamespace and class.relkind = 'r'
       and (class.relname ^@ 'loom_' or class.relname = 'openclaw_instances')
       and class.relname <> 'loom_migrations'
     order by class.relname`;
  const sorted: (typeof found)[number][] = [];
  const isDone = (name: string) =>
    sorted.some((table) => table.name === name) || !found.some((table) => table.name === name);
  while (sorted.length < found.length) {
    const next = found.find(({ name, refers }) => !isDone(name) && refers.every(isDone));
    // These tables refer to each other in a circle, so no order fits.
    sorted.push(next ?? (found.find(({ name }) => !isDone(name)) as (typeof found)[number]));
  }
  return sorted.map(({ name, columns }) => ({ name, columns }));
}

const listSequences = (tx: TransactionSql) =>
  tx<{ table: string; column: string; sequence: string }[]>`
    select class.relname as table, attname as column,
           pg_get_serial_sequence(format('public.%I', class.relname), attname) as sequence
      from pg_attribute join pg_class as class on class.oid = attrelid
     where class.relnamespace = 'public'::regnamespace and class.relkind = 'r'
       and class.relname ^@ 'loom_' and attnum > 0 and not attisdropped
       and pg_get_serial_sequence(format('public.%I', class.relname), attname) is not null
     order by 1, 2`;
