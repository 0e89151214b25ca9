import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Cluster, type Database, openDatabase, startCluster } from "@loom/local-db";
import { migrationScript, type Queue } from "@loom/queue";
import { clientOptions, createPostgresQueue } from "@loom/queue/postgres";
import postgres, { type Sql } from "postgres";
import { type FaultProxy, startFaultProxy } from "./fault-proxy.ts";
import type { Route } from "./queue-client.ts";
import type { Random } from "./random.ts";

/** A real database behind three links that can fail, and access past them. */
export interface Testbed {
  readonly cluster: Cluster;
  readonly database: Database;
  readonly links: {
    /** From supabase-js to PostgREST. */
    readonly http: FaultProxy;
    /** From the direct transport to Postgres. */
    readonly direct: FaultProxy;
    /** From PostgREST to Postgres. */
    readonly inner: FaultProxy;
  };
  /** The routes of clients, through the links. */
  readonly routes: { readonly supabase: Route; readonly postgres: Route };
  /** A connection past all links, for checks. */
  readonly sql: Sql;
  readonly queue: Queue;
  stop(): Promise<void>;
}

/**
 * Starts Postgres and, on the other side of a proxied unix socket, PostgREST.
 *
 * @param options.mutate - Changes the migration: breaks the engine, to show that the checks notice.
 */
export async function startTestbed(options: {
  random: Random;
  onReplay?: (request: string, answer: string) => void;
  mutate?: (schema: string) => string;
}): Promise<Testbed> {
  const { random, onReplay = () => {}, mutate = (schema) => schema } = options;
  await using stack = new AsyncDisposableStack();

  const cluster = stack.use(await startCluster({ schema: mutate(await migrationScript()) }));
  const { socketDir, jwtSecret } = cluster.info;

  // PostgREST looks for Postgres in the folder that it is given, and the proxy listens there.
  const proxyDir = await mkdtemp(join(tmpdir(), "loom-chaos-"));
  stack.defer(() => rm(proxyDir, { recursive: true }));
  const toPostgres = { path: join(socketDir, ".s.PGSQL.5432") };
  const inner = await startFaultProxy({
    upstream: toPostgres,
    path: join(proxyDir, ".s.PGSQL.5432"),
    protocol: "postgres",
    random: random.fork("inner link"),
  });
  stack.defer(() => inner.stop());
  const direct = await startFaultProxy({
    upstream: toPostgres,
    protocol: "postgres",
    random: random.fork("direct link"),
  });
  stack.defer(() => direct.stop());

  const database = stack.use(await openDatabase({ socketDir: proxyDir, jwtSecret }));
  const http = await startFaultProxy({
    upstream: { host: "127.0.0.1", port: Number(new URL(database.url).port) },
    protocol: "http",
    random: random.fork("http link"),
    onReplay,
  });
  stack.defer(() => http.stop());
  const sql = postgres({
    host: socketDir,
    database: database.name,
    username: "postgres",
    max: 3,
    ...clientOptions,
    onnotice: () => undefined,
  });
  stack.defer(() => sql.end({ timeout: 1 }));

  const rest = stack.move();
  return {
    cluster,
    database,
    links: { http, direct, inner },
    routes: {
      supabase: {
        kind: "supabase",
        url: `http://127.0.0.1:${http.port}`,
        key: database.serviceKey,
      },
      postgres: { kind: "postgres", port: direct.port, database: database.name },
    },
    sql,
    queue: createPostgresQueue({ sql, timeoutMs: 60_000 }),
    stop: () => rest.disposeAsync(),
  };
}
