import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { createHubClient, type HubClient, type Scope } from "@loom/client";
import { connectToRunning, signRoleKey } from "@loom/local-db";
import type { Sql } from "postgres";
import { type Process, processName, processTree } from "../processes.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const TOKEN = "a-token-for-this-measurement";

/** What `npm start` has started, with a data folder of its own. */
export interface System {
  readonly url: string;
  /** The seconds until it said that it is ready. */
  readonly readySeconds: number;
  /** The administrator's client. A token may send 100 requests a second. */
  readonly client: HubClient;
  /** A connection to its database as the superuser. */
  readonly sql: Sql;
  /** Creates tokens, each of which may send 100 requests a second. Default of the scopes: read, run. */
  createTokens(count: number, scopes?: Scope[]): Promise<string[]>;
  /** All its processes, from `npm` on, each with its part of the system. */
  processes(): (Process & { part: Part })[];
  /** The address of PostgREST and a key of the service role, for further agents. */
  postgrest(): Promise<{ url: string; key: string }>;
  stop(): Promise<void>;
}

/** The parts of the system, as its user would name them. */
export const parts = ["Postgres", "PostgREST", "hub", "agent", "start", "steps"] as const;
export type Part = (typeof parts)[number];

/**
 * Starts the system with the hub's four slots, the agent's two, and the workflows of this folder.
 *
 * @param env - Further variables.
 */
export async function startSystem(env: NodeJS.ProcessEnv = {}): Promise<System> {
  const folder = mkdtempSync(path.join(tmpdir(), "loom-bench-"));
  // Postgres of root runs as another user.
  chmodSync(folder, 0o755);
  const dataDir = path.join(folder, "data");
  const startedAt = performance.now();
  const npm = spawn("npm", ["start"], {
    cwd: ROOT,
    stdio: ["ignore", "pipe", "inherit"],
    env: {
      PATH: process.env.PATH,
      HOME: process.env.HOME,
      LOOM_DATA_DIR: dataDir,
      LOOM_TOKEN: TOKEN,
      LOOM_WORKFLOWS_DIR: fileURLToPath(new URL("workflows", import.meta.url)),
      PORT: "0",
      ...env,
    },
  });
  const ended = once(npm, "exit").finally(() => rmSync(folder, { recursive: true, force: true }));
  const ready = Promise.withResolvers<string>();
  createInterface({ input: npm.stdout }).on("line", (line) => {
    console.error(line);
    if (line.startsWith("ready ")) ready.resolve(line.slice("ready ".length).trim());
  });
  void ended.then(() => ready.reject(new Error("npm start ended before it was ready")));
  const url = await ready.promise;
  const readySeconds = (performance.now() - startedAt) / 1_000;
  const sql = await connectToRunning(dataDir);
  if (!sql) throw new Error(`no Postgres runs on ${dataDir}`);
  const client = createHubClient({ url, token: TOKEN });
  // Its own workflows are there as well, and one that fires meanwhile would be measured too.
  for (const { id } of (await client.listSchedules()).data) await client.pauseSchedule(id);
  return {
    ...{ url, readySeconds, client, sql },
    async createTokens(count, scopes = ["read", "run"]) {
      const tokens: string[] = [];
      for (let index = 0; index < count; index += 1) {
        tokens.push((await client.createToken({ name: `bench-${index}`, scopes })).token);
      }
      return tokens;
    },
    processes: () =>
      processTree(npm.pid ?? 0).map((each) => ({ ...each, part: partOf(processName(each, ROOT)) })),
    async postgrest() {
      const port = readFileSync(path.join(dataDir, "api-port"), "utf8").trim();
      return { url: `http://127.0.0.1:${port}`, key: await signRoleKey(dataDir, "service_role") };
    },
    async stop() {
      await sql.end();
      npm.kill("SIGTERM");
      await ended;
    },
  };
}

/** Everything that runs authors' code counts as steps: their processes, planners, and what watches them. */
function partOf(name: string): Part {
  if (name === "Postgres") return "Postgres";
  if (name === "postgrest") return "PostgREST";
  if (name.startsWith("apps/hub/")) return "hub";
  if (name.startsWith("apps/node-agent/")) return "agent";
  if (/^npm|^scripts\/|^apps\/quickstart\//.test(name)) return "start";
  return "steps";
}
