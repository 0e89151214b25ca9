import type { Database } from "@loom/local-db";

/** Resolves when no open transaction, of this database or another of the server, holds events back. */
export async function untilReadable({ sql }: Pick<Database, "sql">): Promise<void> {
  const isHeldBack = async () =>
    (await sql`select from public.loom_events where xid >= pg_snapshot_xmin(pg_current_snapshot())`)
      .length > 0;
  while (await isHeldBack());
}
