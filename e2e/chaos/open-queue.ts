import { createQueue, type Queue } from "@loom/queue";
import { clientOptions, createPostgresQueue } from "@loom/queue/postgres";
import { createClient } from "@supabase/supabase-js";
import postgres from "postgres";

/** How a client reaches the queue. */
export type Route =
  | { kind: "supabase"; url: string; key: string }
  | { kind: "postgres"; port: number; database: string };

/** Shorter than the shortest lease, so that a lost answer need not cost it. */
const TIMEOUT_MS = 2_000;

/** The queue by one of its two ways. */
export function openQueue(route: Route): { queue: Queue; close(): Promise<void> } {
  if (route.kind === "supabase") {
    const auth = { persistSession: false, autoRefreshToken: false };
    const client = createClient(route.url, route.key, { auth });
    return { queue: createQueue({ client, timeoutMs: TIMEOUT_MS }), close: async () => {} };
  }
  const { port, database } = route;
  const sql = postgres({
    host: "127.0.0.1",
    port,
    database,
    username: "postgres",
    max: 4,
    connect_timeout: 2,
    ...clientOptions,
    onnotice: () => undefined,
  });
  return {
    queue: createPostgresQueue({ sql, timeoutMs: TIMEOUT_MS }),
    close: () => sql.end({ timeout: 1 }),
  };
}
