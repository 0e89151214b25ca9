// The hub, agents and the database as in production: each in its own process.

import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { createHubClient, type HubClient } from "@loom/client";
import { type ChildProcessHandle, startProcess } from "@loom/local-db";

const TOKEN = "a-token-for-this-measurement";

export interface Programs {
  url: string;
  client: HubClient;
  /** The resident memory of the hub's process, in MiB. */
  memory(): number;
  startAgent(name: string): Promise<void>;
  stop(): Promise<void>;
}

/** Starts a database and a hub named oracle. */
export async function startPrograms(): Promise<Programs> {
  const { child: database, message: access } = await forkFile<{ url: string; serviceKey: string }>(
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
          SUPABASE_URL: access.url,
          SUPABASE_SERVICE_ROLE_KEY: access.serviceKey,
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

/** Starts a file of this folder in its own process, and waits for its first message. */
export async function forkFile<Message>(
  file: string,
  ...args: string[]
): Promise<{ child: ChildProcess; message: Message }> {
  const child = fork(fileURLToPath(new URL(file, import.meta.url)), args, {
    execArgv: ["--conditions=@loom/source"],
  });
  const [message] = (await once(child, "message")) as [Message];
  return { child, message };
}

/** Disconnects from a forked file, which ends it, and waits for its end. */
export async function release(child: ChildProcess): Promise<void> {
  const exited = once(child, "exit");
  child.disconnect();
  await exited;
}
