import { createPostgresQueue, type PostgresQueue } from "@loom/queue/postgres";
import { databaseTest } from "@loom/queue/testing";
import postgres from "postgres";

/** `databaseTest` with a queue over a direct connection; `sql` is its client. */
export const postgresTest = databaseTest
  // Each file has its own pool: other files end connections, and a shared pool would keep a closed one.
  .extend("sql", { scope: "file" }, ({ database }, { onCleanup }) => {
    const sql = postgres(database.databaseUrl, { host: database.socketDir });
    onCleanup(() => sql.end({ timeout: 1 }));
    return sql;
  })
  .extend("queue", ({ sql }): PostgresQueue => createPostgresQueue({ sql }));
