import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { type ChildProcessHandle, openDatabase, startCluster, startProcess } from "@loom/local-db";
import { createQueue, migrationScript, type Queue } from "@loom/queue";
import { createClient } from "@supabase/supabase-js";

const TOKEN = "a-token-for-this-test";

/** Short enough to wait for in a test; the shortest that the queue allows. */
const LEASE_MS = 3_000;

export interface System {
  queue: Queue;
  /** Where the hub answers, and the token that lets one in. */
  url: string;
  token: string;
  /** Starts an agent as a process of its own, working when this resolves. */
  startAgent(
    name: string,
    capabilities: string[],
    options?: { slots?: number },
  ): Promise<ChildProcessHandle>;
  /** Calls the hub's API. */
  call(
    method: "GET" | "POST",
    path: string,
    body?: unknown,
  ): Promise<{ status: number; body: Body }>;
  /** Ends the hub at once, or starts it again at the same address. */
  killHub(): Promise<void>;
  startHub(): Promise<void>;
  stop(): Promise<void>;
}

/** Any JSON object; tests say what they expect of it. */
type Body = Record<string, unknown>;

/**
 * A database, and a hub called oracle in a process of its own.
 *
 * @param options.workflows - The folder that hub and agents take theirs from.
 */
export async function startSystem({
  workflows = new URL("../workflows", import.meta.url),
}: {
  workflows?: URL;
} = {}): Promise<System> {
  const cluster = await startCluster({ schema: await migrationScript() });
  const database = await openDatabase(cluster.info);
  const started: ChildProcessHandle[] = [];
  // Agents of the same names may be at work on this machine.
  const state = mkdtempSync(path.join(tmpdir(), "loom-e2e-"));

  const start = async (app: string, message: string, env: Record<string, string>) => {
    const line = Promise.withResolvers<Body>();
    const child = await startProcess(
      process.execPath,
      ["--conditions=@loom/source", fileURLToPath(import.meta.resolve(app))],
      {
        stopSignal: "SIGTERM",
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
    });
  let hub = await startHub("0");
  const url = String(hub.facts.url);
  const client = createClient(database.url, database.serviceKey, {
    auth: { persistSession: false },
  });

  return {
    queue: createQueue({ client }),
    url,
    token: TOKEN,

    async startAgent(name, capabilities, { slots } = {}) {
      const { child } = await start("@loom/node-agent/main", "agent started", {
        LOOM_NODE_NAME: name,
        LOOM_CAPABILITIES: capabilities.join(","),
        POLL_INTERVAL_MS: "100",
        ...(slots !== undefined && { LOOM_SLOTS: String(slots) }),
      });
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
