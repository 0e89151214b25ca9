import type { Sql } from "postgres";
import { queueOver } from "../create-queue.ts";
import type { Queue } from "../queue.ts";
import { listenForOffers } from "./listen.ts";
import { postgresTransport } from "./postgres-transport.ts";

/**
 * What a client of postgres.js 3.4 needs to outlive a connection that breaks:
 * `postgres(url, { ...clientOptions })`.
 *
 * - `max_pipeline: 0`: a query that is queued on a connection between its error and its end is
 *   never answered, and the connection, once it is there again, waits for that answer for ever.
 * - `fetch_types: false`: it asks for array types when it connects, and nobody catches it when
 *   that fails: the process ends. The queue needs none.
 */
export const clientOptions = { max_pipeline: 0, fetch_types: false } as const;

export interface PostgresQueueOptions {
  /**
   * A postgres.js client, with `clientOptions` where connections may break. Its user must own
   * Loom's functions, or may execute them.
   */
  sql: Sql;
  /** When to give an answer up; default 10 000. */
  timeoutMs?: number;
  /**
   * Notify listeners of new offers; default false. It takes a lock at commit that all writers of
   * the database share, so turn it on where somebody listens and writes are few.
   */
  notify?: boolean;
}

/** The queue over a direct connection, with what only that can do. */
export interface PostgresQueue extends Queue {
  /**
   * Calls back with the names of nodes that have new offers, where writers notify.
   *
   * @returns A function that stops listening.
   * @throws ListenUnavailableError when a pooler swallows notifications.
   */
  listen(onOffers: (nodes: string[]) => void): Promise<() => Promise<void>>;
}

/** The queue over a direct connection to Postgres. The caller ends the client. */
export function createPostgresQueue(options: PostgresQueueOptions): PostgresQueue {
  const { sql, timeoutMs = 10_000, notify = false } = options;
  return {
    ...queueOver(postgresTransport(sql, timeoutMs), { notify }),
    listen: (onOffers) => listenForOffers(sql, onOffers),
  };
}
