import type { Queue, UnreadableRow } from "@loom/queue";
import { clientOptions, createPostgresQueue } from "@loom/queue/postgres";
import postgres from "postgres";

/** A direct connection to the database of a hub. */
export interface DirectAddress {
  /** `postgres://…`, with the password if there is one. */
  databaseUrl: string;
  /** The folder of the socket of the embedded database. */
  socketDir?: string;
}

/** Each connection serves one call at a time. A hosted project has few. */
const KEPT_CONNECTIONS = 2;
/** Further ones, which are closed when they were not needed for so many seconds. */
const BURST_CONNECTIONS = 4;
const BURST_IDLE_SECONDS = 30;

/** After failed attempts to connect, the next one waits for a while, 2 s at most, as the loops of a hub do. */
const backoff = (failures: number): number => Math.min(failures / 10, 2);

const isHere = (databaseUrl: string): boolean =>
  ["", "localhost", "127.0.0.1", "[::1]"].includes(new URL(databaseUrl).hostname);

/**
 * Opens a hub's queue over a direct connection, which takes a fraction of the time of a call over the API. Connections
 * are opened when they are needed, and again after they broke; meanwhile calls fail as over the API.
 *
 * Over a network, the connection is encrypted unless the URL says otherwise (`sslmode`).
 */
export function openDirectQueue(
  { databaseUrl, socketDir }: DirectAddress,
  { onUnreadable }: { onUnreadable: (row: UnreadableRow) => void },
): { queue: Queue; close(): Promise<void> } {
  const isLocal = socketDir !== undefined;
  const options = {
    ...clientOptions,
    ...(isLocal && { host: socketDir }),
    ...(!isLocal &&
      !/[?&]ssl(mode)?=/.test(databaseUrl) &&
      !isHere(databaseUrl) && { ssl: "require" as const }),
    connect_timeout: 10,
    backoff,
    onnotice() {},
    connection: {
      application_name: "loom-hub",
      // The socket is the superuser's, whose rights the hub does not need.
      ...(isLocal && { role: "service_role" }),
    },
  };
  const sql = postgres(databaseUrl, { ...options, max: KEPT_CONNECTIONS });
  const overflow = postgres(databaseUrl, {
    ...options,
    max: BURST_CONNECTIONS,
    idle_timeout: BURST_IDLE_SECONDS,
  });
  return {
    queue: createPostgresQueue({ sql, overflow, onUnreadable }),
    async close() {
      await Promise.all([sql, overflow].map((client) => client.end({ timeout: 5 })));
    },
  };
}
