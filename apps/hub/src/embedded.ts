import path from "node:path";
import { keepToken, stateDirOf, type Variables } from "@loom/program";
import { migrationScript, OTHER_VERSION } from "@loom/queue";
import type { Log } from "@loom/worker";
import type { DirectAddress } from "./direct-connection.ts";

/** The database that a hub brings itself, at work. */
export interface EmbeddedDatabase {
  /** Address of its API, on loopback; the same at every start if the port is free. */
  url: string;
  /** A key for everything. */
  key: string;
  /** How this process reaches it directly. */
  direct: DirectAddress;
  /** A key for nothing: agents send it beside their own. */
  publishableKey: string;
  /** The bootstrap token of earlier starts, where the environment has none. */
  token: string;
  stop(): Promise<void>;
}

/**
 * The folder of what the hub keeps beside the database: `LOOM_STATE_DIR`, else `state` in `LOOM_DATA_DIR`, so that one variable
 * names everything of a hub, else the folder of the service or of the user.
 */
export function hubStateDir(variables: Variables): string {
  const data = variables.LOOM_DATA_DIR?.trim();
  return data && !variables.LOOM_STATE_DIR?.trim()
    ? path.resolve(data, "state")
    : stateDirOf(variables, "loom-hub");
}

/**
 * The folder of the embedded database: `LOOM_DATA_DIR`, else one in the hub's state folder, which is where Postgres
 * can use it.
 */
export async function dataDirOf(variables: Variables): Promise<string> {
  const given = variables.LOOM_DATA_DIR?.trim();
  if (given) return path.resolve(given);
  const { defaultDataDir } = await import("@loom/local-db");
  return defaultDataDir(hubStateDir(variables), "data");
}

/**
 * Starts the embedded database in its folder, in this process. A part that ends is started again; the URL stays.
 *
 * A hub with a Supabase project loads nothing of this.
 *
 * @throws EmbeddedError and the errors of `@loom/local-db`; each says what to do.
 */
export async function openEmbedded({
  variables,
  log,
}: {
  variables: Variables;
  log: Log;
}): Promise<EmbeddedDatabase> {
  const { SchemaError, startLocalDb } = await import("@loom/local-db");
  const dataDir = await dataDirOf(variables);
  const database = await startLocalDb({
    dataDir,
    schema: await migrationScript(),
    onRestart({ part, ...restart }) {
      if (restart.state === "back") log.info({ part }, "a part of the database is back");
      else {
        const { reason, retryMs } = restart;
        log.warn({ part, reason, retryMs }, "a part of the database ended");
      }
    },
  }).catch((error: Error) => {
    const { code } = (error instanceof SchemaError ? error.cause : {}) as { code?: string };
    if (code !== OTHER_VERSION) throw error;
    throw new EmbeddedError(
      `Another version of Loom made the data in ${dataDir}, so move that folder away, or name another one with LOOM_DATA_DIR, and start again.`,
      { cause: error },
    );
  });
  const { url, serviceKey: key, anonKey: publishableKey, databaseUrl, socketDir } = database;
  log.info({ dataDir, url }, "database open");
  const token = keepToken(path.join(dataDir, "token"));
  const direct = { databaseUrl, socketDir };
  return { url, key, publishableKey, direct, token, stop: database.stop };
}

/** The embedded database cannot be used. The message says what to do. */
class EmbeddedError extends Error {
  override readonly name = "EmbeddedError";
  readonly code = "EMBEDDED";
}
