import { z } from "zod";

/** The name of a backup's last part, which lists the others. */
export const MANIFEST = "manifest.json";

const table = z.object({
  name: z.string(),
  columns: z.array(z.string()).min(1),
  rows: z.int(),
});

/** A backup's description of itself. */
export const manifestSchema = z.object({
  format: z.literal("loom.backup/v1"),
  /** The version of the hub that made it. */
  version: z.string(),
  createdAt: z.iso.datetime(),
  /** The migrations that its database had. */
  migrations: z.array(z.string()),
  /** The tables, each after the tables that it refers to. */
  tables: z.array(table),
  /** The last number of each sequence, by its column. */
  sequences: z.array(z.object({ table: z.string(), column: z.string(), last: z.string() })),
  /** Size and SHA-256 of every other part. */
  parts: z.record(z.string(), z.object({ bytes: z.int(), sha256: z.string() })),
});

export type Manifest = z.output<typeof manifestSchema>;
export type BackupTable = z.output<typeof table>;

/** The name of a part of a table, in the order of its rows. */
export const partOf = (name: string, index: number): string =>
  `tables/${name}/${String(index).padStart(6, "0")}.copy`;
