import { spawn } from "node:child_process";
import { once } from "node:events";
import type { Readable } from "node:stream";
import type { Exec, ExecResult } from "@loom/workflow";
import { within } from "./abort.ts";
import { CommandFailedError, CommandNotStartedError } from "./errors.ts";
import { endGroup } from "./process-group.ts";

/** How long to read on when somebody outside of the ended group still holds the pipe. */
const DRAIN_MS = 500;

const MAX_STDOUT = 1_048_576;
const MAX_STDERR = 65_536;
/** Of what a failed command wrote, this much is in the error. */
const MAX_EVIDENCE = 2_000;

export interface Commands {
  exec: Exec;
  /** Ends the commands that nobody waited for. */
  close(): Promise<void>;
}

/**
 * What runs commands for a step.
 *
 * @param options.graceMs - How long a command may take to end after SIGTERM.
 * @param options.onGroup - Told of each process group when it begins and when it is empty.
 */
export function createCommands({
  signal,
  graceMs,
  write,
  onGroup,
}: {
  signal: AbortSignal;
  graceMs: number;
  write: (chunk: Buffer) => void;
  onGroup: (group: number, isAlive: boolean) => void;
}): Commands {
  const closing = new AbortController();
  const running = new Set<Promise<unknown>>();

  const exec: Exec = async (argv, options = {}) => {
    const [program, ...args] = checked(argv);
    const signals = [signal, closing.signal, ...(options.signal ? [options.signal] : [])];
    const stop = AbortSignal.any(signals);
    stop.throwIfAborted();
    const child = spawn(program, args, {
      cwd: options.cwd,
      // The step's own, which is what a program that it started by other means would get.
      env: { ...process.env, ...options.env },
      detached: true,
      stdio: ["pipe", "pipe", "pipe"],
    });
    const group = child.pid;
    if (group === undefined) {
      const [cause] = await once(child, "error");
      throw new CommandNotStartedError(program, cause);
    }
    onGroup(group, true);
    // Nobody has to read what it is given.
    child.stdin.on("error", () => {});
    child.stdin.end(options.input ?? "");
    const stdout = keepTail(child.stdout, MAX_STDOUT, write);
    const stderr = keepTail(child.stderr, MAX_STDERR, write);
    const closed = once(child, "close");
    const onAbort = () => void endGroup(group, graceMs);
    stop.addEventListener("abort", onAbort, { once: true });
    const [exitCode, killedBy] = (await once(child, "exit")) as [number | null, string | null];
    await endGroup(group, graceMs);
    // Its number may be another group's from now on.
    stop.removeEventListener("abort", onAbort);
    onGroup(group, false);
    await within(DRAIN_MS, closed);
    child.stdout.destroy();
    child.stderr.destroy();
    stop.throwIfAborted();
    const result: ExecResult = { stdout: stdout(), stderr: stderr() };
    if (exitCode === 0) return result;
    const evidence = (result.stderr.trim() || result.stdout.trim()).slice(-MAX_EVIDENCE);
    throw new CommandFailedError(program, { exitCode, signal: killedBy, evidence });
  };

  return {
    exec(argv, options) {
      const done = exec(argv, options);
      const settled = done.catch(() => {}).finally(() => running.delete(settled));
      running.add(settled);
      return done;
    },
    async close() {
      closing.abort(new Error("the step ended before its command did"));
      await Promise.all(running);
    },
  };
}

function checked(argv: readonly string[]): [string, ...string[]] {
  const [program, ...args] = Array.isArray(argv) ? argv : [];
  const isUsable = [program, ...args].every(
    (part) => typeof part === "string" && !part.includes("\0"),
  );
  if (program === undefined || program === "" || !isUsable) {
    throw new TypeError('exec takes a program and its arguments as texts: ["git", "status"]');
  }
  return [program, ...args];
}

/** Passes on what a stream brings, and gives its end as text. */
function keepTail(stream: Readable, max: number, write: (chunk: Buffer) => void): () => string {
  let kept: Buffer[] = [];
  let bytes = 0;
  stream.on("error", () => {});
  stream.on("data", (chunk: Buffer) => {
    write(chunk);
    kept.push(chunk);
    bytes += chunk.length;
    if (bytes > 2 * max) {
      kept = [Buffer.concat(kept).subarray(-max)];
      bytes = max;
    }
  });
  return () => Buffer.concat(kept).subarray(-max).toString();
}
