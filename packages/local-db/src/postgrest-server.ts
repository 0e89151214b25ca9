import { request } from "node:http";
import { databaseUrl } from "./connect.ts";
import { postgrestBinary } from "./postgrest-binary.ts";
import { type ChildProcessHandle, startProcess } from "./start-process.ts";
import { untilReady } from "./until-ready.ts";

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
    // Nothing else: a PGRST_ variable of the user's would change what is served.
    env: {
      LANG: "C.UTF-8",
      PGRST_DB_URI: databaseUrl({ socketDir, database, user: "authenticator" }),
      PGRST_DB_SCHEMAS: "public",
      PGRST_DB_ANON_ROLE: "anon",
      PGRST_DB_POOL: "10",
      PGRST_DB_CHANNEL_ENABLED: "true",
      // As many rows as a Supabase project returns at once.
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

/** Its port opens first, and until it has read the schema it answers 503. */
const hasSchema = (socketPath: string): Promise<boolean> =>
  new Promise((resolve) => {
    request({ socketPath, path: "/", method: "HEAD" }, (response) => {
      response.resume();
      resolve((response.statusCode ?? 500) < 500);
    })
      .on("error", () => resolve(false))
      .end();
  });
