import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";

const MAIN = fileURLToPath(import.meta.resolve("@loom/node-agent/main"));

/** A `loom-agent` of its own. */
export interface Agent {
  child: ChildProcess;
  output: string[];
  /** Resolves with the facts of the next line that has this message. */
  said(message: string): Promise<Record<string, unknown>>;
  /** Resolves with the exit code when it has ended and all it wrote was read. */
  exited: Promise<number | null>;
}

/** A state folder of its own, for the length of a test. */
export function stateDir(): string {
  const folder = mkdtempSync(path.join(tmpdir(), "loom-agent-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** `NODE_OPTIONS` of a machine whose clock is off by so many days. */
export function clockOff(days: number): string {
  const shift = `
    const RealDate = Date;
    const now = () => RealDate.now() + ${days} * 86_400_000;
    globalThis.Date = class extends RealDate {
      constructor(...given) { given.length === 0 ? super(now()) : super(...given); }
      static now() { return now(); }
    };`;
  return `--import=data:text/javascript,${encodeURIComponent(shift)}`;
}

/** Runs a `loom-agent` to its end. */
export async function runAgent(env: Record<string, string>, args: string[]) {
  const { exited, output } = startAgent(env, args);
  return { code: await exited, output: output.join("\n") };
}

/** Starts a `loom-agent`; it is killed at the end of the test at the latest. */
export function startAgent(
  env: Record<string, string>,
  args: string[] = [],
  {
    node = process.execPath,
    prefix = [],
    ...options
  }: { node?: string; prefix?: readonly string[]; cwd?: string; uid?: number } = {},
): Agent {
  const { PATH, NODE_COMPILE_CACHE } = process.env;
  const argv = [...prefix, node, "--conditions=@loom/source", MAIN, ...args];
  const child = spawn(argv[0] ?? node, argv.slice(1), {
    ...options,
    // Nothing of this machine's own settings.
    env: { PATH, NODE_COMPILE_CACHE, LOOM_STATE_DIR: stateDir(), ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const output: string[] = [];
  const waiting = new Map<string, (facts: Record<string, unknown>) => void>();
  for (const input of [child.stdout, child.stderr]) {
    createInterface({ input }).on("line", (line) => {
      output.push(line);
      if (!line.startsWith("{")) return;
      const facts = JSON.parse(line) as Record<string, unknown>;
      waiting.get(String(facts.msg))?.(facts);
    });
  }
  const exited = once(child, "close").then(([code]) => code as number | null);
  onTestFinished(async () => {
    child.kill("SIGKILL");
    await exited;
  });
  return {
    child,
    output,
    exited,
    said: (message) =>
      new Promise((resolve, reject) => {
        waiting.set(message, resolve);
        void exited.then(() => reject(new Error(`it ended:\n${output.join("\n")}`)));
      }),
  };
}
