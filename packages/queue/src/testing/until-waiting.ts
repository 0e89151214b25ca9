import type { Database } from "@loom/local-db";

/** Resolves when as many connections to the database wait for a lock that another one holds. */
export async function untilWaiting(database: Database, connections = 1): Promise<void> {
  for (let waiting = 0; waiting < connections; ) {
    const [row] = await database.sql<{ waiting: number }[]>`
      select count(*)::integer as waiting from pg_stat_activity
       where datname = current_database() and wait_event_type = 'Lock'`;
    waiting = row?.waiting ?? 0;
  }
}
