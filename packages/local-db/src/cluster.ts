import { join } from "node:path";
import { installedBinaries, postgresBinaries, postgresPackage } from "./postgres/binaries.ts";
import { withConnection } from "./postgres/connect.ts";
import { applySchema } from "./postgres/schema.ts";
import { initCluster, startPostgres, THROWAWAY } from "./postgres/server.ts";
import { isRoot, nobody } from "./process/account.ts";
import { newSecret } from "./rest/keys.ts";
import { createTeardown } from "./teardown.ts";
import { createTempDir } from "./temp-dir.ts";

/** The database that each new database is copied from. */
export const TEMPLATE = "loom_template";

/**
 * The part of a cluster that `openDatabase` needs: a plain value that can be sent to another
 * process.
 */
export interface ClusterInfo {
  readonly socketDir: string;
  readonly jwtSecret: string;
}

export interface Cluster extends AsyncDisposable {
  readonly info: ClusterInfo;
  /**
   * Stops Postgres and starts it again on the same files, to test what survives a restart.
   *
   * @param mode - `fast` stops in order; `immediate` is a crash, after which Postgres recovers.
   */
  restartPostgres(options: { mode: "fast" | "immediate" }): Promise<void>;
  /** Stops Postgres and removes all its files. Stop the databases first. */
  stop(): Promise<void>;
}

/**
 * Starts a temporary Postgres with a template database that has the schema.
 *
 * @throws PlatformError when this machine cannot run it.
 * @throws ProcessStartError when it does not start.
 * @throws SchemaError when Postgres refuses the schema.
 */
export async function startCluster({
  schema,
  settings = {},
  binDir,
}: {
  schema: string;
  /**
   * Postgres settings that replace the defaults, for example `{ fsync: "on" }` for a measurement.
   */
  settings?: Readonly<Record<string, string>>;
  /**
   * The programs of another Postgres, 15 or newer, to test with: `/usr/lib/postgresql/15/bin`. By
   * default those of the npm package.
   */
  binDir?: string;
}): Promise<Cluster> {
  const account = isRoot() ? nobody() : undefined;
  const teardown = createTeardown();
  try {
    const temp = await createTempDir(account);
    teardown.add(() => temp.remove());
    const socketDir = temp.path;
    const data = join(socketDir, "data");
    const binaries =
      binDir === undefined
        ? await postgresBinaries({ packageDir: postgresPackage(), account, copyInto: socketDir })
        : installedBinaries(binDir, account);
    await initCluster({ binaries, account, data, isDurable: false });
    const all = { ...THROWAWAY, ...settings };
    const start = () => startPostgres({ binaries, account, data, socketDir, settings: all });
    let postgres = await start();
    teardown.add(() => postgres.stop());

    await withConnection({ socketDir, database: "postgres" }, (sql) =>
      sql.unsafe(`create database ${TEMPLATE}`),
    );
    await withConnection({ socketDir, database: TEMPLATE }, (sql) => applySchema(sql, schema));
    // Postgres does not copy a template while anybody is connected to it.
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
