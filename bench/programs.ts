// The hub and agents as they are in earnest: each a process of its own, over a database that is another.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { createHubClient, type HubClient } from "@loom/hub/client";
import { type ChildProcessHandle, startProcess } from "@loom/local-db";
import { release, startProcess as startFile } from "./start-process.ts";

const TOKEN = "a-token-for-this-measurement";

export interface Programs {
  url: string;
  client: HubClient;
  /** Of the hub's process, in MiB. */
  memory(): number;
  startAgent(name: string): Promise<void>;
  stop(): Promise<void>;
}

/** Starts a database, and a hub called oracle. */
export async function startPrograms(): Promise<Programs> {
  const { child: database, said } = await startFile<{ url: string; serviceKey: string }>(
    "database.ts",
  );
  const started: ChildProcessHandle[] = [];

  async function start(program: string, until: string, env: Record<string, string>) {
    const line = Promise.withResolvers<{ url: string }>();
    const handle = await startProcess(
      process.execPath,
      ["--conditions=@loom/source", fileURLToPath(import.meta.resolve(program))],
      {
        stopSignal: "SIGTERM",
        env: {
          PATH: process.env.PATH,
          HOME: process.env.HOME,
          SUPABASE_URL: said.url,
          SUPABASE_SERVICE_ROLE_KEY: said.serviceKey,
          ...env,
        },
        onLine(text) {
          const facts = text.startsWith("{")
            ? (JSON.parse(text) as { msg: string; url: string })
            : undefined;
          if (facts?.msg === until) line.resolve(facts);
        },
      },
    );
    started.push(handle);
    void handle.exited.then(({ log }) => line.reject(new Error(`${program} ended:\n${log}`)));
    return { handle, ...(await line.promise) };
  }

  const hub = await start("@loom/hub/main", "listening", {
    PORT: "0",
    LOOM_TOKEN: TOKEN,
    LOOM_NODE_NAME: "oracle",
  });
  return {
    url: hub.url,
    client: createHubClient({ url: hub.url, token: TOKEN }),
    memory: () =>
      Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${hub.handle.pid}/status`, "utf8"))?.[1]) /
      1_024,
    async startAgent(name) {
      await start("@loom/node-agent/main", "agent started", {
        LOOM_NODE_NAME: name,
        LOOM_SLOTS: "4",
      });
    },
    async stop() {
      for (const handle of started.reverse()) await handle.stop();
      await release(database);
    },
  };
}
