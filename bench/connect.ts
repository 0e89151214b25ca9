import { join } from "node:path";
import type { Database, DatabaseCopy } from "@loom/local-db";
import { clientOptions } from "@loom/queue/postgres";
import { createClient, type SupabaseClient } from "@supabase/supabase-js";
import postgres, { type Sql } from "postgres";
import { Agent, fetch } from "undici";

/** A way to the database that the engine under test ends when it closes. */
export interface Connection<Client> {
  readonly client: Client;
  close(): Promise<void>;
}

export function connectDirectly(database: DatabaseCopy, max: number): Connection<Sql> {
  const client = postgres(database.databaseUrl, {
    host: database.socketDir,
    max,
    ...clientOptions,
  });
  return { client, close: () => client.end() };
}

/** Connects to PostgREST itself: the gateway of @loom/local-db would use time of this process. */
export function connectToPostgrest(database: Database): Connection<SupabaseClient> {
  const dispatcher = new Agent({ connect: { socketPath: postgrestSocket(database) } });
  const client = createClient("http://postgrest", database.serviceKey, {
    auth: { persistSession: false, autoRefreshToken: false },
    global: {
      fetch: ((url: string, init: object) =>
        fetch(url.replace("/rest/v1", ""), { ...init, dispatcher })) as never,
    },
  });
  return { client, close: () => dispatcher.close() };
}

/** Where the PostgREST of a database listens. */
export const postgrestSocket = ({ socketDir, name }: Database): string =>
  join(socketDir, `${name}.sock`);
