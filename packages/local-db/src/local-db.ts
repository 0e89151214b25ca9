import { join } from "node:path";
import type { Sql } from "postgres";
import { ensureCluster, openDataDir } from "./data-dir.ts";
import { DataDirInUseError, ProcessStartError } from "./errors.ts";
import { postgresBinaries, postgresPackage } from "./postgres/binaries.ts";
import { lockHolder, untilClusterIsFree } from "./postgres/cluster-lock.ts";
import { connect, databaseUrl, withConnection } from "./postgres/connect.ts";
import { applySchema } from "./postgres/schema.ts";
import { DURABLE, startPostgres } from "./postgres/server.ts";
import { type KeepRunningOptions, keepRunning } from "./process/keep-running.ts";
import { startGateway } from "./rest/gateway.ts";
import { createSigner, keptSecret, SECRET_FILE, type SignKey } from "./rest/keys.ts";
import { startPostgrest } from "./rest/postgrest.ts";
import { createTeardown } from "./teardown.ts";
import { createTempDir } from "./temp-dir.ts";

const DATABASE = "postgres";

/** A phase of the start: create or find the cluster's files, start Postgres, and so on. */
export type Stage = "files" | "postgres" | "schema" | "postgrest";

export interface LocalDbOptions {
  /** The folder for all data. It is created if it is missing. See {@link defaultDataDir}. */
  readonly dataDir: string;
  /** An idempotent script that runs at every start as the superuser `postgres`. */
  readonly schema: string;
  readonly onStage?: (stage: Stage) => void;
  /** Called when Postgres or PostgREST has ended unexpectedly, and when it runs again. */
  readonly onRestart?: (restart: Restart) => void;
}

/** A part that ended and starts again in `retryMs`, or that runs again. */
export type Restart = { readonly part: "Postgres" | "PostgREST" } & (
  | { readonly state: "ended"; readonly reason: string; readonly retryMs: number }
  | { readonly state: "back" }
);

export interface LocalDb extends AsyncDisposable {
  /**
   * For `createClient(url, key)` of supabase-js. It is on 127.0.0.1, with the port of the last start
   * if that is free.
   */
  readonly url: string;
  /** A key for the role `service_role`. */
  readonly serviceKey: string;
  /** A key for the role `anon`. */
  readonly anonKey: string;
  /** Signs a key for any role. */
  readonly signKey: SignKey;
  /** A connection as the superuser `postgres`. */
  readonly sql: Sql;
  /**
   * A libpq URL. postgres.js needs the host separately: `postgres(databaseUrl, { host: socketDir
   * })`.
   */
  readonly databaseUrl: string;
  readonly socketDir: string;
  /** Stops everything in order. The data stays. */
  stop(): Promise<void>;
}

/**
 * Starts a Postgres that keeps its data, and PostgREST, for the lifetime of this process. Either is
 * restarted when it ends unexpectedly; the URL stays the same.
 *
 * @throws PlatformError when this machine cannot run them.
 * @throws DataDirInUseError when another live process uses the folder.
 * @throws DataDirUnreachableError when Postgres could not use the folder.
 * @throws DataDirVersionError when another major version of Postgres created it.
 * @throws ProcessStartError when a part does not start.
 * @throws SchemaError when Postgres refuses the schema.
 */
export async function startLocalDb(options: LocalDbOptions): Promise<LocalDb> {
  const { dataDir, schema, onStage = () => undefined, onRestart = () => undefined } = options;
  const tell = (part: Restart["part"]): KeepRunningOptions => ({
    onEnd: ({ reason, retryMs }) => onRestart({ part, state: "ended", reason, retryMs }),
    onBack: () => onRestart({ part, state: "back" }),
  });
  const teardown = createTeardown();
  try {
    onStage("files");
    const packageDir = postgresPackage();
    const { data, account } = await openDataDir(dataDir);
    const binaries = await postgresBinaries({ packageDir, account, copyInto: dataDir });
    await ensureCluster(dataDir, { data, account, binaries });

    onStage("postgres");
    const temp = await createTempDir(account);
    teardown.add(() => temp.remove());
    const socketDir = temp.path;
    const postgres = await keepRunning(async () => {
      await untilClusterIsFree(dataDir, data);
      return startPostgres({ binaries, account, data, socketDir, settings: DURABLE });
    }, tell("Postgres")).catch(async (error) => {
      // SQLSTATE lock_file_exists: another process was faster.
      const isTaken = error instanceof ProcessStartError && / F0001 /.test(error.log);
      throw isTaken ? new DataDirInUseError(dataDir, await lockHolder(data)) : error;
    });
    teardown.add(() => postgres.stop());

    onStage("schema");
    // The script gets its own connection, because it may have transactions.
    await withConnection({ socketDir, database: DATABASE }, (sql) => applySchema(sql, schema));
    const sql = connect({ socketDir, database: DATABASE });
    teardown.add(() => sql.end({ timeout: 1 }));

    onStage("postgrest");
    // PostgREST starts after the schema is applied, so that it reads the new one. Postgres has
    // locked the folder, so no other process writes the secret.
    const jwtSecret = await keptSecret(join(dataDir, SECRET_FILE));
    const socketPath = join(socketDir, "postgrest.sock");
    const postgrest = await keepRunning(
      () => startPostgrest({ socketDir, database: DATABASE, jwtSecret, socketPath }),
      tell("PostgREST"),
    );
    teardown.add(() => postgrest.stop());
    const gateway = await startGateway(socketPath, {
      portFile: join(dataDir, "api-port"),
    });
    teardown.add(() => gateway.stop());

    const signKey = createSigner(jwtSecret);
    return {
      url: gateway.url,
      serviceKey: await signKey({ role: "service_role" }),
      anonKey: await signKey({ role: "anon" }),
      signKey,
      sql,
      databaseUrl: databaseUrl({ socketDir, database: DATABASE, user: "postgres" }),
      socketDir,
      stop: teardown.run,
      [Symbol.asyncDispose]: teardown.run,
    };
  } catch (error) {
    await teardown.run();
    throw error;
  }
}
