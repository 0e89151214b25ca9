import { spawn } from "node:child_process";
import { basename } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { ProcessStartError } from "../errors.ts";
import { hold } from "./custody.ts";
import { killGroup } from "./process-group.ts";

const DEFAULT_GRACE_MS = 10_000;
const MAX_LOG_LINES = 50;
/** How long a descendant that left the group may keep the output of an ended process open. */
const DRAIN_MS = 500;

// The shell becomes the command when it reads a line, and this process writes that line only when
// the reaper knows the pid. If this process dies before that, the shell reads the end of its input
// and ends. So the command is never left behind.
const GATE = 'read -r _ && exec "$@"';

export interface ProcessOptions {
  /** The name in `exited`. Default: the command's file name. */
  readonly name?: string | undefined;
  /** Default: this process's environment. */
  readonly env?: NodeJS.ProcessEnv | undefined;
  readonly cwd?: string | undefined;
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
  /** The signal that asks the process to end. */
  readonly stopSignal: NodeJS.Signals;
  /** How long it may take to end before it is killed, in milliseconds. Default 10 000. */
  readonly graceMs?: number | undefined;
  readonly onLine?: ((line: string, stream: "stdout" | "stderr") => void) | undefined;
}

export interface ProcessExit {
  readonly name: string;
  /** The exit code, or `null` when a signal ended it. 126 and 127: the command could not be run. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** The last 50 lines of its stdout and stderr. */
  readonly log: string;
}

export interface ChildProcessHandle extends AsyncDisposable {
  readonly pid: number;
  readonly exited: Promise<ProcessExit>;
  /** The last 50 lines of its output so far. */
  log(): string;
  /** Asks it to end and waits until it has. A second call waits for the first. */
  stop(signal?: NodeJS.Signals): Promise<ProcessExit>;
}

/**
 * Starts a child that cannot outlive this process, even if this process is killed with SIGKILL.
 *
 * The child leads its own process group. Ctrl-C in the terminal reaches only this process, which
 * stops its parts in its own order. When the child ends, everything left in its group is killed.
 * Its stdin is empty. If this process dies first, all its children are ended, the last one started
 * first, each with its stop signal and grace.
 *
 * @throws Error when the system cannot start a process. A command that cannot be run just exits.
 */
export async function startProcess(
  command: string,
  args: readonly string[],
  options: ProcessOptions,
): Promise<ChildProcessHandle> {
  const { name = basename(command), graceMs = DEFAULT_GRACE_MS, stopSignal, onLine } = options;
  const child = spawn("/bin/sh", ["-c", GATE, "sh", command, ...args], {
    env: options.env,
    cwd: options.cwd,
    uid: options.uid,
    gid: options.gid,
    detached: true,
  });
  const lines: string[] = [];
  const log = () => lines.join("\n");
  for (const stream of ["stdout", "stderr"] as const) {
    createInterface({ input: child[stream] }).on("line", (line) => {
      if (lines.push(line) > MAX_LOG_LINES) lines.shift();
      onLine?.(line, stream);
    });
  }
  child.stdin.on("error", () => undefined); // it ended before the gate opened: `exited` tells
  await new Promise<void>((resolve, reject) => {
    child.once("spawn", resolve);
    child.once("error", reject);
  });
  const pid = child.pid as number;
  const exited = new Promise<ProcessExit>((resolve) => {
    child.once("close", (code, signal) => resolve({ name, code, signal, log: log() }));
  });
  child.once("exit", () => {
    killGroup(pid);
    setTimeout(() => {
      child.stdout.destroy();
      child.stderr.destroy();
    }, DRAIN_MS).unref();
  });
  try {
    const letGo = await hold({ kind: "process", pid, stopSignal, graceMs });
    void exited.then(letGo);
  } catch (error) {
    child.stdin.end(); // the gate stays shut: the shell ends
    throw error;
  }
  child.stdin.end("go\n");

  let stopped = false;
  const stop = (signal: NodeJS.Signals = stopSignal) => {
    if (!stopped && child.exitCode === null && child.signalCode === null) {
      child.kill(signal);
      const timer = setTimeout(killGroup, graceMs, pid);
      void exited.then(() => clearTimeout(timer));
    }
    stopped = true;
    return exited;
  };
  return {
    pid,
    exited,
    log,
    stop,
    async [Symbol.asyncDispose]() {
      await stop();
    },
  };
}

const POLL_MS = 15;

/**
 * Waits until a server that was just started answers.
 *
 * @throws ProcessStartError when it ended or `timeoutMs` passed. The server is then stopped.
 */
export async function untilReady(
  server: ChildProcessHandle,
  options: { isReady: () => Promise<boolean>; timeoutMs: number },
): Promise<void> {
  let hasEnded = false;
  void server.exited.then(() => {
    hasEnded = true;
  });
  const deadline = performance.now() + options.timeoutMs;
  while (!(await options.isReady())) {
    if (hasEnded || performance.now() > deadline) {
      const { name, log } = await server.stop();
      throw new ProcessStartError(name, log);
    }
    await Promise.race([server.exited, sleep(POLL_MS)]);
  }
}
