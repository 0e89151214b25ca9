import { join } from "node:path";
import { isRoot, nobody } from "./account.ts";
import { withConnection } from "./connect.ts";
import { newSecret } from "./keys.ts";
import { postgresBinaries, postgresPackage } from "./postgres-binaries.ts";
import { initCluster, startPostgres, THROWAWAY } from "./postgres-server.ts";
import { applySchema } from "./schema.ts";
import { createTeardown } from "./teardown.ts";
import { createTempDir } from "./temp-dir.ts";

/** The database that every other one is a copy of. */
export const TEMPLATE = "loom_template";

/** What `openDatabase` needs of a cluster: a plain value, which can go to another process. */
export interface ClusterInfo {
  readonly socketDir: string;
  readonly jwtSecret: string;
}

export interface Cluster extends AsyncDisposable {
  readonly info: ClusterInfo;
  /**
   * Ends Postgres and starts it again on the same files, for tests of what survives.
   *
   * @param mode - `fast` stops in order; `immediate` is a crash, from which it recovers.
   */
  restartPostgres(options: { mode: "fast" | "immediate" }): Promise<void>;
  /** Stops Postgres and removes everything; close the databases first. */
  stop(): Promise<void>;
}

/**
 * Starts a throw-away Postgres, with a template database that has the schema.
 *
 * @throws PlatformError when this machine cannot run it.
 * @throws ProcessStartError when it does not start.
 * @throws SchemaError when Postgres refuses the schema.
 */
export async function startCluster({
  schema,
  settings = {},
}: {
  schema: string;
  /** Of Postgres, in place of those of a throw-away: `{ fsync: "on" }` for a measurement. */
  settings?: Readonly<Record<string, string>>;
}): Promise<Cluster> {
  const packageDir = postgresPackage();
  const account = isRoot() ? nobody() : undefined;
  const teardown = createTeardown();
  try {
    const temp = await createTempDir(account);
    teardown.add(() => temp.remove());
    const socketDir = temp.path;
    const data = join(socketDir, "data");
    const binaries = await postgresBinaries({ packageDir, account, copyInto: socketDir });
    await initCluster({ binaries, account, data, isDurable: false });
    const all = { ...THROWAWAY, ...settings };
    const start = () => startPostgres({ binaries, account, data, socketDir, settings: all });
    let postgres = await start();
    teardown.add(() => postgres.stop());

    await withConnection({ socketDir, database: "postgres" }, (sql) =>
      sql.unsafe(`create database ${TEMPLATE}`),
    );
    await withConnection({ socketDir, database: TEMPLATE }, (sql) => applySchema(sql, schema));
    // A template that somebody is connected to cannot be copied.
    await withConnection({ socketDir, database: "postgres" }, (sql) =>
      sql.unsafe(`alter database ${TEMPLATE} is_template true allow_connections false`),
    );
    return {
      info: { socketDir, jwtSecret: newSecret() },
      async restartPostgres({ mode }) {
        await postgres.stop(mode === "fast" ? "SIGINT" : "SIGQUIT");
        postgres = await start();
      },
      stop: teardown.run,
      [Symbol.asyncDispose]: teardown.run,
    };
  } catch (error) {
    await teardown.run();
    throw error;
  }
}
