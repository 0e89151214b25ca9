import { type ChildProcess, spawn } from "node:child_process";
import {
  chmodSync,
  chownSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { packTar } from "@loom/backup";
import { digestOf, loadSigningKey, type SigningKey, signStatement } from "@loom/code";
import { bundleProgram } from "@loom/code/bundle";
import { createHub } from "@loom/hub";
import { type AgentArchive, NO_JOIN } from "@loom/join";
import type { QueueFixtures } from "@loom/queue/testing";
import { grantNodeKey } from "@loom/queue/testing";
import { createInlinePlanner, programFiles } from "@loom/worker";
import { pino } from "pino";
import { onTestFinished } from "vitest";
import { serve } from "../src/listen/serve.ts";
import { TOKEN } from "./fixtures.ts";

const log = pino({ level: "silent" });

function tempDir(): string {
  const folder = mkdtempSync(path.join(tmpdir(), "loom-upgrade-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** The agent as it is, bundled once for all tests. */
const bundled = bundleProgram({
  entries: { main: fileURLToPath(import.meta.resolve("@loom/node-agent/main")), ...programFiles },
});

/** An agent that differs from others by its sequence number, and by what `change` makes of its program. */
export async function makeAgent(
  sequence: number,
  { key, change = (main) => main }: { key: SigningKey; change?: (main: string) => string },
): Promise<AgentArchive & { files: ReadonlyMap<string, string> }> {
  const { files } = await bundled;
  const version = `1.0.${sequence}`;
  const all = new Map([
    ["package.json", JSON.stringify({ name: "loom-agent", version, type: "module" })],
    ...[...files].map(([name, text]): [string, string] => [
      `lib/${name}`,
      name === "main.mjs" ? change(text) : text,
    ]),
  ]);
  const archive = packTar(all);
  const digest = digestOf(archive);
  const statement = { kind: "agent", name: version, digest, manifestDigest: "", sequence } as const;
  return {
    version,
    digest,
    sequence,
    signature: signStatement(statement, key),
    archive,
    files: all,
  };
}

/** A hub, and a machine called forge that its script has made a node, with a supervisor. */
export async function setUpMachine(
  { database, queue }: Pick<QueueFixtures, "database" | "queue">,
  env: Record<string, string> = {},
  /** The machine's user, who may not write where the agents are. */
  user?: number,
) {
  const home = tempDir();
  const key = await loadSigningKey(path.join(home, "signing-key"));
  const first = await makeAgent(1, { key });
  const hub = { agent: first as AgentArchive };
  const app = createHub({
    ...{ queue, log, token: TOKEN, planner: createInlinePlanner([]) },
    join: { ...NO_JOIN, agent: async () => hub.agent },
  });
  /** May answer in place of the hub. */
  const played: { answer?: (url: URL) => Response | undefined } = {};
  const fetch = (request: Request, ...rest: unknown[]) =>
    played.answer?.(new URL(request.url)) ??
    (app.fetch as (...args: unknown[]) => Response)(request, ...rest);
  const server = await serve(fetch as typeof app.fetch, { bind: "127.0.0.1", port: 0, log });
  onTestFinished(() => server.close());

  const folder = path.join(home, "loom");
  const state = path.join(home, "state");
  mkdirSync(state, { mode: 0o700 });
  const unpack = ({ digest, files }: Awaited<ReturnType<typeof makeAgent>>) => {
    for (const [name, text] of files) {
      const file = path.join(folder, `agent-${digest}`, name);
      mkdirSync(path.dirname(file), { recursive: true });
      writeFileSync(file, text);
    }
  };
  unpack(first);
  writeFileSync(path.join(folder, `agent-${first.digest}`, "sequence"), "1\n");
  symlinkSync(`agent-${first.digest}`, path.join(folder, "current"));
  writeFileSync(path.join(state, "node-key"), await grantNodeKey(database, "forge"), {
    mode: 0o600,
  });
  const joined = {
    ...{ node: "forge", hub: { id: "a-hub", url: server.url }, codeKey: key.publicKey },
    database: { url: database.url, publishableKey: database.anonKey },
  };
  writeFileSync(path.join(state, "hub.json"), JSON.stringify(joined), { mode: 0o600 });

  const node = user === undefined ? process.execPath : path.join(home, "node");
  if (user !== undefined) {
    chmodSync(home, 0o755);
    // One that this user may run, whoever owns the real one.
    copyFileSync(process.execPath, node);
    for (const each of [state, ...readdirSync(state).map((name) => path.join(state, name))]) {
      chownSync(each, user, user);
    }
  }

  const output: string[] = [];
  let child: ChildProcess | undefined;
  let isOver = false;
  let starts = 0;
  const start = () => {
    starts += 1;
    child = spawn(node, [path.join(folder, "current/lib/main.mjs"), "start"], {
      env: {
        ...{ PATH: process.env.PATH, HOME: home, LOOM_STATE_DIR: state, LOOM_WAKE: "off" },
        ...{ LOOM_LEASE_MS: "3000", POLL_INTERVAL_MS: "100", ...env },
      },
      ...(user !== undefined && { uid: user, gid: user }),
      stdio: ["ignore", "pipe", "pipe"],
    });
    for (const input of [child.stdout, child.stderr]) {
      if (input) createInterface({ input }).on("line", (line) => output.push(line));
    }
    child.once("close", () => {
      if (!isOver) start();
    });
  };
  onTestFinished(async () => {
    isOver = true;
    child?.kill("SIGKILL");
    if (child && child.exitCode === null && child.signalCode === null) {
      await new Promise((resolve) => child?.once("close", resolve));
    }
  });

  return {
    unpack,
    ...{ folder, state, home, key, first, hub, played, output, start },
    kill: (signal: NodeJS.Signals) => child?.kill(signal),
    pid: () => child?.pid,
    starts: () => starts,
    current: () => readlinkSync(path.join(folder, "current")),
    marker: () => JSON.parse(readFileSync(path.join(state, "upgrade.json"), "utf8")) as object,
    async post(at: string) {
      const headers = { authorization: `Bearer ${TOKEN}` };
      const answer = await app.request(`/api/loom/${at}`, { method: "POST", headers });
      return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
    },
    /** What the API says of the agent. */
    async agent() {
      const headers = { authorization: `Bearer ${TOKEN}` };
      const answer = await app.request("/api/loom/nodes", { headers });
      const { data } = (await answer.json()) as {
        data: { online: boolean; agent: Record<string, unknown> | null }[];
      };
      return data[0]?.online ? data[0].agent : undefined;
    },
  };
}
