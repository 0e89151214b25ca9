import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { statSync } from "node:fs";
import path from "node:path";
import type { Readable } from "node:stream";
import type { Exec, ExecOptions, ExecResult } from "@loom/workflow";
import { within } from "../wait.ts";
import { endGroup } from "./process-tree.ts";

/** How long to read on when a process outside the ended group still holds the pipe. */
const DRAIN_MS = 500;

const MAX_STDOUT = 1_048_576;
const MAX_STDERR = 65_536;
/** How much of a failed command's output is in the error. */
const MAX_EVIDENCE = 2_000;

/** A command that a step ran did not end with exit code 0. */
export class CommandFailedError extends Error {
  override readonly name = "CommandFailedError";
  readonly code = "COMMAND_FAILED";
  readonly exitCode: number | null;
  readonly signal: string | null;
  constructor(
    program: string,
    {
      exitCode,
      signal,
      evidence,
    }: { exitCode: number | null; signal: string | null; evidence: string },
  ) {
    const how = signal === null ? `ended with exit code ${exitCode}` : `was ended by ${signal}`;
    super(`${program} ${how}${evidence && `: ${evidence}`}`);
    this.exitCode = exitCode;
    this.signal = signal;
  }
}

/** A command of a step cannot be started. */
export class CommandNotStartedError extends Error {
  override readonly name = "CommandNotStartedError";
  readonly code = "COMMAND_NOT_STARTED";
  constructor(program: string, problem: string, options: { cause: unknown }) {
    super(`${program} cannot be started: ${problem}`, options);
  }
}

/** A program to run as it is: nothing of its output is kept but the end of its standard error. */
interface PlainCommand {
  file: string;
  /** What it gets as its arguments, its own name first. */
  argv: readonly string[];
  env: Readonly<Record<string, string>>;
  cwd: string;
}

/** The commands of a step. */
export interface Commands {
  exec: Exec;
  /**
   * Runs a program whose output is only passed on.
   *
   * @throws CommandFailedError, CommandNotStartedError, the signal's reason.
   */
  pass(command: PlainCommand): Promise<void>;
  /** Ends the commands that the step did not wait for. */
  close(): Promise<void>;
}

/**
 * Creates the function that runs commands for a step.
 *
 * @param options.graceMs - How long a command may take to end after SIGTERM.
 * @param options.onGroup - Called for each process group when it begins and when it is empty.
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

  /** Runs a program to its end, and ends what is left of its group. */
  async function run(
    [program, args]: readonly [string, readonly string[]],
    options: ExecOptions & { argv0?: string },
    kept: { stdout: number; stderr: number },
  ) {
    const signals = [signal, closing.signal, ...(options.signal ? [options.signal] : [])];
    const stop = AbortSignal.any(signals);
    stop.throwIfAborted();
    const child = await start(program, args, options);
    const group = child.pid;
    onGroup(group, true);
    // A program need not read its input.
    child.stdin.on("error", () => {});
    child.stdin.end(options.input ?? "");
    const stdout = keepTail(child.stdout, kept.stdout, write);
    const stderr = keepTail(child.stderr, kept.stderr, write);
    const closed = once(child, "close");
    const onAbort = () => void endGroup(group, graceMs);
    stop.addEventListener("abort", onAbort, { once: true });
    if (stop.aborted) onAbort();
    const [exitCode, killedBy] = (await once(child, "exit")) as [number | null, string | null];
    await endGroup(group, graceMs);
    // From now on, another group may have this number.
    stop.removeEventListener("abort", onAbort);
    onGroup(group, false);
    await within(DRAIN_MS, closed);
    child.stdout.destroy();
    child.stderr.destroy();
    stop.throwIfAborted();
    return { stdout, stderr, exitCode, killedBy };
  }

  const exec: Exec = async (argv, options = {}) => {
    const [program, ...args] = checked(argv);
    const kept = { stdout: MAX_STDOUT, stderr: MAX_STDERR };
    const { stdout, stderr, exitCode, killedBy } = await run([program, args], options, kept);
    const leftOut = { stdout: stdout.leftOut(), stderr: stderr.leftOut() };
    const truncated = leftOut.stdout > 0 || leftOut.stderr > 0;
    const result: ExecResult = { stdout: stdout.text(), stderr: stderr.text(), truncated };
    if (truncated) write(Buffer.from(noteOf(program, leftOut)));
    if (exitCode === 0) return result;
    const evidence = (result.stderr.trim() || result.stdout.trim()).slice(-MAX_EVIDENCE);
    throw new CommandFailedError(program, { exitCode, signal: killedBy, evidence });
  };

  async function pass({ file, argv: [program = file, ...args], env, cwd }: PlainCommand) {
    const options = { argv0: program, env, cwd };
    const kept = { stdout: 0, stderr: MAX_EVIDENCE };
    const { stderr, exitCode, killedBy } = await run([file, args], options, kept);
    if (exitCode === 0) return;
    const evidence = stderr.text().trim();
    throw new CommandFailedError(program, { exitCode, signal: killedBy, evidence });
  }

  function track<Result>(done: Promise<Result>): Promise<Result> {
    const settled = done.then(
      () => {},
      () => {},
    );
    running.add(settled);
    void settled.then(() => running.delete(settled));
    return done;
  }

  return {
    exec: (argv, options) => track(exec(argv, options)),
    pass: (command) => track(pass(command)),
    async close() {
      closing.abort(new Error("the step ended before its command did"));
      await Promise.all(running);
    },
  };
}

async function start(
  program: string,
  args: readonly string[],
  { cwd, env, argv0 }: ExecOptions & { argv0?: string },
): Promise<ChildProcessWithoutNullStreams & { pid: number }> {
  try {
    const child = spawn(program, args, {
      cwd,
      ...(argv0 !== undefined && { argv0 }),
      // The environment of the step's process, as for a program that the step starts by other means.
      env: { ...process.env, ...env },
      detached: true,
      stdio: ["pipe", "pipe", "pipe"],
    });
    const { pid } = child;
    // Node throws some errors and emits others.
    if (pid === undefined) throw (await once(child, "error"))[0];
    return Object.assign(child, { pid });
  } catch (error) {
    const cause = error as NodeJS.ErrnoException;
    throw new CommandNotStartedError(program, commandProblem(cause, { program, cwd }), { cause });
  }
}

const noteOf = (program: string, leftOut: { stdout: number; stderr: number }): string =>
  `\n… exec: the output of ${program} is longer than its result can hold: the first ${leftOut.stdout} bytes of stdout and ${leftOut.stderr} of stderr are left out there …\n`;

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

/** Passes a stream's chunks on and keeps its end, in whole characters; nothing of it with a limit of 0. */
function keepTail(stream: Readable, max: number, write: (chunk: Buffer) => void) {
  let kept: Buffer[] = [];
  let bytes = 0;
  let total = 0;
  stream.on("error", () => {});
  stream.on("data", (chunk: Buffer) => {
    write(chunk);
    if (max === 0) return;
    kept.push(chunk);
    bytes += chunk.length;
    total += chunk.length;
    if (bytes > 2 * max) {
      kept = [Buffer.concat(kept).subarray(-max)];
      bytes = max;
    }
  });
  const tail = () => {
    const all = Buffer.concat(kept);
    if (total <= max) return all;
    let from = all.length - max;
    // Not in the middle of a character.
    for (let skipped = 0; skipped < 3 && ((all[from] ?? 0) & 0xc0) === 0x80; skipped += 1)
      from += 1;
    return all.subarray(from);
  };
  return { text: () => tail().toString(), leftOut: () => total - tail().length };
}

const BY_CODE: Readonly<Record<string, string>> = {
  EACCES: "this user may not run it: it is not a program, or its folder is closed to this user",
  EAGAIN:
    "this user may start no more processes: end some, or raise the limit (TasksMax= of the service, ulimit -u)",
  EMFILE:
    "the step has too many open files: close some, or raise the limit (LimitNOFILE=, ulimit -n)",
  ENFILE: "the machine has too many open files: raise fs.file-max",
  ENOMEM: "there is no memory for another process: free some",
  E2BIG:
    "its arguments and environment are longer than the system allows: pass them as input or in a file",
  ENOEXEC: "it is neither a program for this kind of machine nor a script that begins with #!",
};

/** Says why a command could not be started, and how to fix it. */
function commandProblem(
  cause: NodeJS.ErrnoException,
  { program, cwd }: { program: string; cwd: string | undefined },
): string {
  const { code = "", message } = cause;
  if (code !== "ENOENT" && code !== "ENOTDIR") {
    const problem = BY_CODE[code];
    return problem === undefined ? message : `${problem} (${code})`;
  }
  // The system reports a missing folder, a missing program and a missing interpreter alike.
  const folder = cwd ?? ".";
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory()) {
    return `the folder ${cwd ?? "that the step works in"} does not exist (${code})`;
  }
  if (!program.includes("/")) return `it is not in PATH (${code}): is it installed?`;
  return statSync(path.resolve(folder, program), { throwIfNoEntry: false })
    ? `the interpreter that its first line names does not exist (${code})`
    : `the file does not exist (${code})`;
}
