import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import {
  type ChildProcessHandle,
  type Database,
  openDatabase,
  startCluster,
  startProcess,
} from "@loom/local-db";
import { createQueue, migrationScript, type Queue } from "@loom/queue";
import { createClient, type SupabaseClient } from "@supabase/supabase-js";

const TOKEN = "a-token-for-this-test";

/** The shortest lease that the queue allows, so that tests can wait for its end. */
const LEASE_MS = 3_000;

export interface System {
  queue: Queue;
  /** The database's API, as the service role. */
  client: SupabaseClient;
  /** A direct connection to the database. */
  sql: Database["sql"];
  /** The URL of the database's API. */
  databaseUrl: string;
  /** The hub's process. */
  hubPid(): number;
  /** The URL of the hub. */
  url: string;
  /** The bootstrap token of the hub. */
  token: string;
  /** The public key with which nodes verify what the hub signs. */
  codeKey: string;
  /** Starts an agent in its own process. Resolves once the agent works. */
  startAgent(
    name: string,
    capabilities: string[],
    options?: { slots?: number; cwd?: string; env?: Record<string, string> },
  ): Promise<ChildProcessHandle>;
  /** Calls the hub's API. */
  call(
    method: "GET" | "POST",
    path: string,
    body?: unknown,
  ): Promise<{ status: number; body: Body }>;
  /** Kills the hub. */
  killHub(): Promise<void>;
  /** Starts the hub again at the same address. */
  startHub(): Promise<void>;
  stop(): Promise<void>;
}

/** Any JSON object. Tests check its fields. */
type Body = Record<string, unknown>;

/**
 * Starts a database and a hub named oracle, each in its own process.
 *
 * @param options.workflows - The folder with the workflows of hub and agents.
 * @param options.hubEnv - Further settings of the hub.
 */
export async function startSystem({
  workflows = new URL("../workflows", import.meta.url),
  hubEnv = {},
}: {
  workflows?: URL;
  hubEnv?: Record<string, string>;
} = {}): Promise<System> {
  const cluster = await startCluster({ schema: await migrationScript() });
  const database = await openDatabase(cluster.info);
  const started: ChildProcessHandle[] = [];
  // Agents of the same names may be at work on this machine.
  const state = mkdtempSync(path.join(tmpdir(), "loom-e2e-"));

  const start = async (app: string, message: string, env: Record<string, string>, cwd?: string) => {
    const line = Promise.withResolvers<Body>();
    const child = await startProcess(
      process.execPath,
      ["--conditions=@loom/source", fileURLToPath(import.meta.resolve(app))],
      {
        stopSignal: "SIGTERM",
        cwd,
        env: {
          ...process.env,
          SUPABASE_URL: database.url,
          SUPABASE_SERVICE_ROLE_KEY: database.serviceKey,
          LOOM_LEASE_MS: String(LEASE_MS),
          LOOM_WORKFLOWS_DIR: fileURLToPath(workflows),
          LOOM_STATE_DIR: state,
          ...env,
        },
        onLine(text) {
          const facts = text.startsWith("{") ? (JSON.parse(text) as Body) : {};
          if (facts.msg === message) line.resolve(facts);
        },
      },
    );
    started.push(child);
    void child.exited.then(({ log }) => line.reject(new Error(`${app} ended:\n${log}`)));
    return { child, facts: await line.promise };
  };

  const startHub = (port: string) =>
    start("@loom/hub/main", "listening", {
      PORT: port,
      LOOM_TOKEN: TOKEN,
      LOOM_NODE_NAME: "oracle",
      SUPABASE_PUBLISHABLE_KEY: database.anonKey,
      ...hubEnv,
    });
  let hub = await startHub("0");
  const url = String(hub.facts.url);
  const client = createClient(database.url, database.serviceKey, {
    auth: { persistSession: false },
  });

  return {
    queue: createQueue({ client }),
    client,
    sql: database.sql,
    databaseUrl: database.url,
    hubPid: () => hub.child.pid,
    url,
    token: TOKEN,
    codeKey: String(hub.facts.codeKey),

    async startAgent(name, capabilities, { slots, cwd, env } = {}) {
      const { child } = await start(
        "@loom/node-agent/main",
        "agent started",
        {
          LOOM_NODE_NAME: name,
          LOOM_CAPABILITIES: capabilities.join(","),
          POLL_INTERVAL_MS: "100",
          ...(slots !== undefined && { LOOM_SLOTS: String(slots) }),
          ...env,
        },
        cwd,
      );
      return child;
    },

    async call(method, path, body) {
      const response = await fetch(`${url}/api/loom${path}`, {
        method,
        headers: { authorization: `Bearer ${TOKEN}`, "content-type": "application/json" },
        ...(body !== undefined && { body: JSON.stringify(body) }),
      });
      return { status: response.status, body: (await response.json()) as Body };
    },

    async killHub() {
      await hub.child.stop("SIGKILL");
    },

    async startHub() {
      hub = await startHub(new URL(url).port);
    },

    async stop() {
      for (const child of started.reverse()) await child.stop();
      await database.stop();
      await cluster.stop();
      rmSync(state, { recursive: true, force: true });
    },
  };
}
