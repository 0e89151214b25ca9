import { type ChildProcess, execFile, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { createHub, createScheduleLoop } from "@loom/hub";
import type { Queue } from "@loom/queue";
import { databaseTest } from "@loom/queue/testing";
import { createInlinePlanner } from "@loom/worker";
import { cron, defineWorkflow } from "@loom/workflow";
import { pino } from "pino";
import { z } from "zod";
import { serve } from "../../hub/src/listen/serve.ts";
import { claim, runAll, signingKey } from "../../hub/test/fixtures.ts";

export const TOKEN = "a-token-for-this-test";

const CLI = fileURLToPath(new URL("..", import.meta.url));
export const ROOT = fileURLToPath(new URL("../../..", import.meta.url));

/** Two steps, the second after the first; the input has a field of each kind. */
const visit = defineWorkflow({
  name: "visit",
  input: z.object({
    greeting: z.string().default("Hello"),
    times: z.int().optional(),
    loud: z.boolean().optional(),
  }),
})
  .step("there", {}, async () => ({ ok: true }))
  .step("here", { after: ["there"] }, async () => ({ ok: true }));

const train = defineWorkflow({ name: "train" }).step(
  "fit",
  { requires: ["has-gpu"] },
  async () => {},
);

const nightly = defineWorkflow({
  name: "nightly",
  schedule: cron("30 2 * * *", { timeZone: "UTC" }),
}).step("only", {}, async () => {});

/** Asks two things of anybody, and one of ada. */
const ask = defineWorkflow({ name: "ask" })
  .approve("ship", { title: "Ship it?", input: z.object({ copies: z.int().default(1) }) })
  .approve("bill", { title: "Send the bill?" });
const askAda = defineWorkflow({ name: "ask-ada" }).approve("pay", { title: "Pay?", who: ["ada"] });

const workflows = [visit, train, nightly, ask, askAda];
const log = pino({ level: "silent" });

/** How a process of the program ended. */
export interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

interface Options {
  /** Standard input; without it there is none. */
  input?: string;
  env?: Record<string, string>;
  /** Leaves LOOM_URL and LOOM_TOKEN out. */
  bare?: boolean;
}

/** The table of exit codes in docs/cli.md. */
export function docsTable(): { exit: number; meaning: string; errors: string[] }[] {
  const page = readFileSync(path.join(ROOT, "docs/cli.md"), "utf8");
  return [...page.matchAll(/^\| +(\d+) \| (.+?) +\| (.*?) *\|$/gm)].map(
    ([, exit, meaning = "", errors = ""]) => ({
      exit: Number(exit),
      meaning,
      errors: [...errors.matchAll(/`([A-Z_]+)`/g)].map(([, code = ""]) => code),
    }),
  );
}

/** The exit code that docs/cli.md has for an error. */
export function exitInDocs(code: string): number {
  const row = docsTable().find(({ errors }) => errors.includes(code));
  if (!row) throw new Error(`docs/cli.md has no ${code}`);
  return row.exit;
}

/** Waits for the end of a process, with all that it wrote. */
async function ended(child: ChildProcess): Promise<Ended> {
  const [stdout, stderr, [code]] = await Promise.all([
    child.stdout ? text(child.stdout) : "",
    child.stderr ? text(child.stderr) : "",
    once(child, "exit") as Promise<[number | null]>,
  ]);
  return { code, stdout, stderr };
}

/** A real hub on a port over a real database, and the program as its own processes. */
export const test = databaseTest
  // The program as it is published: it starts in a third of the time that the sources take.
  // biome-ignore lint/correctness/noEmptyPattern: Vitest reads the names from this pattern
  .extend("main", { scope: "worker" }, async ({}, { onCleanup }) => {
    const folder = mkdtempSync(path.join(tmpdir(), "loom-cli-built-"));
    onCleanup(() => rmSync(folder, { recursive: true, force: true }));
    copyFileSync(path.join(CLI, "package.json"), path.join(folder, "package.json"));
    const tsup = path.join(ROOT, "node_modules/tsup/dist/cli-default.js");
    const out = ["--out-dir", path.join(folder, "dist")];
    await promisify(execFile)(process.execPath, [tsup, ...out], { cwd: CLI });
    return path.join(folder, "dist/main.js");
  })
  .extend("hub", async ({ queue }, { onCleanup }) => {
    const stopping = new AbortController();
    const planner = createInlinePlanner(workflows);
    const app = createHub({
      queue,
      planner,
      log,
      token: TOKEN,
      signingKey,
      rateLimit: { burst: 1_000_000, perSecond: 1_000_000 },
      stopping: stopping.signal,
    });
    const server = await serve(app.fetch, { bind: "127.0.0.1", port: 0, log });
    onCleanup(async () => {
      stopping.abort();
      await server.close();
    });
    const { epoch } = await queue.lead("one", 45_000);
    await createScheduleLoop({ queue, planner, log, onStarted: () => {} }).round(epoch);
    return { url: server.url };
  })
  .extend("folder", ({ emptied: _ }, { onCleanup }) => {
    const folder = mkdtempSync(path.join(tmpdir(), "loom-cli-"));
    onCleanup(() => rmSync(folder, { recursive: true, force: true }));
    return folder;
  })
  .extend("environment", ({ hub, folder }) => ({ env = {}, bare }: Options = {}) => ({
    PATH: process.env.PATH,
    LOOM_CONFIG_DIR: folder,
    ...(!bare && { LOOM_URL: hub.url, LOOM_TOKEN: TOKEN }),
    ...env,
  }))
  .extend("start", ({ main, environment }, { onCleanup }) => {
    const children: ChildProcess[] = [];
    onCleanup(() => {
      for (const child of children) child.kill("SIGKILL");
    });
    return (args: readonly string[], { input, ...options }: Options = {}) => {
      const child = spawn(process.execPath, [main, ...args], {
        env: environment(options),
        stdio: [input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
      });
      children.push(child);
      child.stdin?.end(input);
      return child;
    };
  })
  .extend(
    "loom",
    ({ start }) =>
      (args: readonly string[], options?: Options): Promise<Ended> =>
        ended(start(args, options)),
  )
  .extend("terminal", ({ main, environment }, { onCleanup }) => {
    const terminals: ReturnType<typeof openTerminal>[] = [];
    onCleanup(() => {
      for (const { child } of terminals) child.kill("SIGKILL");
    });
    /** The program on a terminal of its own, 80 columns wide. */
    return (args: readonly string[], options: Options = {}) => {
      const command = [process.execPath, main, ...args].map(quote).join(" ");
      const opened = openTerminal(command, { TERM: "xterm", ...environment(options) });
      terminals.push(opened);
      return opened;
    };
  })
  .extend("made", ({ queue, loom }) => ({
    /** Starts a run, and returns its id. */
    run: async (workflow: string, ...args: string[]): Promise<string> =>
      (await loom(["run", workflow, ...args])).stdout.trim(),
    /** Two nodes that are in touch. */
    nodes: async () => ({
      pi: await sayHello(queue, "pi", ["code"]),
      tower: await sayHello(queue, "tower", ["code", "has-gpu"]),
    }),
  }));

const quote = (word: string) => `'${word}'`;

/** Runs a command on a terminal, which `script` of util-linux makes. */
function openTerminal(command: string, env: NodeJS.ProcessEnv) {
  const sized = `stty cols 80 rows 24; exec ${command}`;
  const child = spawn("script", ["-qefc", sized, "/dev/null"], { env });
  let screen = "";
  let check = () => {};
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (part: string) => {
      screen += part;
      check();
    });
  }
  const over = once(child, "exit") as Promise<[number | null]>;
  return {
    child,
    screen: () => screen,
    type: (keys: string) => child.stdin.write(keys),
    /** Waits until the screen has shown something. */
    shows: (wanted: RegExp) =>
      new Promise<void>((resolve, reject) => {
        check = () => {
          if (wanted.test(screen)) resolve();
        };
        check();
        void over.then(() => reject(new Error(`it ended without ${wanted}:\n${screen}`)));
      }),
    /** The exit code of the program. */
    exit: async () => (await over)[0],
  };
}

/** Opens a session of a node. Its lease outlasts a test on the slowest machine. */
export async function sayHello(queue: Queue, name: string, capabilities: string[]) {
  const report = { name, incarnation: randomUUID(), leaseMs: 3_600_000, capabilities, slots: 10 };
  return { node: name, epoch: (await queue.hello({ ...report, isHub: false })).epoch };
}

/** Begins the step that waits longest on a node, with what it writes. Returns the claim. */
export async function beginStep(
  queue: Queue,
  session: { node: string; epoch: number },
  chunks: readonly string[] = [],
  seq = 1,
): Promise<{ id: number; fence: number }> {
  const { node } = session;
  const [job] = await queue.listWaiting();
  await queue.place({ offers: [{ job: job?.id ?? 0, node, placement: null }], refusals: [] });
  const [claimed] = await claim(queue, session, seq);
  if (!claimed) throw new Error("nothing was claimed");
  const { id, fence } = claimed;
  let start = 0;
  for (const chunk of chunks) {
    await queue.appendLog({ node, id, fence }, [{ start, chunk }]);
    start += Buffer.byteLength(chunk);
  }
  return { id, fence };
}

/** Lets a node run everything to a good end. */
export async function finishAll(queue: Queue, name = "pi"): Promise<void> {
  await runAll(queue, await sayHello(queue, name, ["code"]));
}

/** The shape of a JSON value: the types of its leaves. */
export function shapeOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.slice(0, 1).map(shapeOf);
  if (value === null) return "null";
  if (typeof value !== "object") return typeof value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, shapeOf(inner)]));
}
