import { join } from "node:path";
import type { Sql } from "postgres";
import { lockHolder, untilClusterIsFree } from "./cluster-lock.ts";
import { connect, databaseUrl, withConnection } from "./connect.ts";
import { ensureCluster, openDataDir } from "./data-dir.ts";
import { DataDirInUseError, ProcessStartError } from "./errors.ts";
import { createSigner, keptSecret, type SignKey } from "./keys.ts";
import { postgresBinaries, postgresPackage } from "./postgres-binaries.ts";
import { DURABLE, startPostgres } from "./postgres-server.ts";
import { startRestApi } from "./rest-api.ts";
import { applySchema } from "./schema.ts";
import type { ChildProcessHandle, ProcessExit } from "./start-process.ts";
import { createTeardown } from "./teardown.ts";
import { createTempDir } from "./temp-dir.ts";

const DATABASE = "postgres";

/** What a start is about to do: make the cluster's files or find them, start Postgres, and so on. */
export type Stage = "files" | "postgres" | "schema" | "postgrest";

export interface LocalDbOptions {
  /** The folder that keeps everything; created if missing. See {@link defaultDataDir}. */
  readonly dataDir: string;
  /** One idempotent script, run at every start as the superuser `postgres`. */
  readonly schema: string;
  readonly onStage?: (stage: Stage) => void;
}

export interface LocalDb extends AsyncDisposable {
  /** For `createClient(url, key)` of supabase-js; on 127.0.0.1, another port at every start. */
  readonly url: string;
  /** A key for the role `service_role`. */
  readonly serviceKey: string;
  /** A key for the role `anon`. */
  readonly anonKey: string;
  /** Signs a key for any role. */
  readonly signKey: SignKey;
  /** As the superuser `postgres`. */
  readonly sql: Sql;
  /** A libpq URL. postgres.js wants the host apart: `postgres(databaseUrl, { host: socketDir })`. */
  readonly databaseUrl: string;
  readonly socketDir: string;
  /** Resolves when Postgres or PostgREST ends unasked; never after `stop()`. */
  readonly exited: Promise<ProcessExit>;
  /** Stops everything in order; the data stays. */
  stop(): Promise<void>;
}

/**
 * Starts a Postgres that keeps its data, with PostgREST, for this process' lifetime.
 *
 * @throws PlatformError when this machine cannot run them.
 * @throws DataDirInUseError when another live process uses the folder.
 * @throws DataDirUnreachableError when Postgres could not use the folder.
 * @throws DataDirVersionError when another major version of Postgres made it.
 * @throws ProcessStartError when a part does not start.
 * @throws SchemaError when Postgres refuses the schema.
 */
export async function startLocalDb(options: LocalDbOptions): Promise<LocalDb> {
  const { dataDir, schema, onStage = () => undefined } = options;
  const teardown = createTeardown();
  try {
    onStage("files");
    const packageDir = postgresPackage();
    const { data, account } = await openDataDir(dataDir);
    const binaries = await postgresBinaries({ packageDir, account, copyInto: dataDir });
    await ensureCluster(dataDir, { data, account, binaries });

    onStage("postgres");
    await untilClusterIsFree(dataDir, data);
    const temp = await createTempDir(account);
    teardown.add(() => temp.remove());
    const socketDir = temp.path;
    const postgres = await startPostgres({
      binaries,
      account,
      data,
      socketDir,
      settings: DURABLE,
    }).catch(async (error) => {
      // SQLSTATE lock_file_exists: somebody else was quicker.
      const isTaken = error instanceof ProcessStartError && / F0001 /.test(error.log);
      throw isTaken ? new DataDirInUseError(dataDir, await lockHolder(data)) : error;
    });
    teardown.add(() => postgres.stop());

    onStage("schema");
    // On a connection of its own: the script may have transactions.
    await withConnection({ socketDir, database: DATABASE }, (sql) => applySchema(sql, schema));
    const sql = connect({ socketDir, database: DATABASE });
    teardown.add(() => sql.end({ timeout: 1 }));

    onStage("postgrest");
    // Only now, so that it reads the new schema. Postgres has locked the folder: the secret is ours too.
    const jwtSecret = await keptSecret(join(dataDir, "jwt-secret"));
    const api = await startRestApi({
      socketDir,
      database: DATABASE,
      jwtSecret,
      socketPath: join(socketDir, "postgrest.sock"),
    });
    teardown.add(() => api.stop());

    const signKey = createSigner(jwtSecret);
    let isStopping = false;
    const stop = () => {
      isStopping = true;
      return teardown.run();
    };
    const endsUnasked = ({ exited }: ChildProcessHandle) =>
      exited.then((exit) => (isStopping ? new Promise<never>(() => undefined) : exit));
    return {
      url: api.url,
      serviceKey: await signKey({ role: "service_role" }),
      anonKey: await signKey({ role: "anon" }),
      signKey,
      sql,
      databaseUrl: databaseUrl({ socketDir, database: DATABASE, user: "postgres" }),
      socketDir,
      exited: Promise.race([endsUnasked(postgres), endsUnasked(api.postgrest)]),
      stop,
      [Symbol.asyncDispose]: stop,
    };
  } catch (error) {
    await teardown.run();
    throw error;
  }
}
