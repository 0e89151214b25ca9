import { randomBytes } from "node:crypto";
import { join } from "node:path";
import type { Sql } from "postgres";
import { type ClusterInfo, TEMPLATE } from "./cluster.ts";
import { connect, databaseUrl, withConnection } from "./postgres/connect.ts";
import { createSigner, type SignKey } from "./rest/keys.ts";
import { startRestApi } from "./rest/rest-api.ts";
import { createTeardown } from "./teardown.ts";

/** A copy of the cluster's template. */
export interface DatabaseCopy extends AsyncDisposable {
  readonly name: string;
  /** A connection as the superuser `postgres`. */
  readonly sql: Sql;
  /**
   * A libpq URL. postgres.js needs the host separately: `postgres(databaseUrl, { host: socketDir
   * })`.
   */
  readonly databaseUrl: string;
  readonly socketDir: string;
  /** Drops the database. */
  stop(): Promise<void>;
}

export interface Database extends DatabaseCopy {
  /** For `createClient(url, key)` of supabase-js. */
  readonly url: string;
  /** A key for the role `service_role`. */
  readonly serviceKey: string;
  /** A key for the role `anon`. */
  readonly anonKey: string;
  /** Signs a key for any role. */
  readonly signKey: SignKey;
  /** Stops PostgREST and starts it again. Requests in between get 502; the URL stays the same. */
  restartPostgrest(): Promise<void>;
  /** Stops PostgREST and drops the database. */
  stop(): Promise<void>;
}

/** Copies the cluster's template to a new database, for direct connections only. */
export async function copyDatabase({
  socketDir,
}: Pick<ClusterInfo, "socketDir">): Promise<DatabaseCopy> {
  const name = `loom_${randomBytes(6).toString("hex")}`;
  const admin = (statement: string) =>
    withConnection({ socketDir, database: "postgres" }, (sql) => sql.unsafe(statement));
  const teardown = createTeardown();
  // With fsync off, copying the files (17 ms) is faster than writing them to the log (26 ms).
  await admin(`create database ${name} template ${TEMPLATE} strategy file_copy`);
  teardown.add(() => admin(`drop database ${name} with (force)`));
  const sql = connect({ socketDir, database: name });
  teardown.add(() => sql.end({ timeout: 1 }));
  return {
    name,
    sql,
    databaseUrl: databaseUrl({ socketDir, database: name, user: "postgres" }),
    socketDir,
    stop: teardown.run,
    [Symbol.asyncDispose]: teardown.run,
  };
}

/** Copies the cluster's template to a new database, which gets its own URL. */
export async function openDatabase({ socketDir, jwtSecret }: ClusterInfo): Promise<Database> {
  const copy = await copyDatabase({ socketDir });
  const teardown = createTeardown();
  teardown.add(copy.stop);
  try {
    const socketPath = join(socketDir, `${copy.name}.sock`);
    const api = await startRestApi({ socketDir, database: copy.name, jwtSecret, socketPath });
    teardown.add(() => api.stop());
    const signKey = createSigner(jwtSecret);
    return {
      ...copy,
      url: api.url,
      serviceKey: await signKey({ role: "service_role" }),
      anonKey: await signKey({ role: "anon" }),
      signKey,
      restartPostgrest: api.restartPostgrest,
      stop: teardown.run,
      [Symbol.asyncDispose]: teardown.run,
    };
  } catch (error) {
    await teardown.run();
    throw error;
  }
}
