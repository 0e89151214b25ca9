import { createCapture } from "./capture.ts";
import { MAX_LINE_BYTES, printLine } from "./command-line.ts";
import { type Command, requireMade } from "./define-commands.ts";
import {
  CommandFailedError,
  CommandLostError,
  CommandTimeoutError,
  InvalidArgumentsError,
} from "./errors.ts";
import { type Route, startProcess, stopProcess } from "./remote-process.ts";

export interface RunOptions {
  /** Default 60 000, at most 24 hours. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  /** Is given all output as it comes, in pieces of text; what it throws ends the command. */
  readonly onOutput?: (output: Output) => void;
  /** How much of stdout and of stderr is kept for the result; default 1 MiB each. */
  readonly maxOutputBytes?: number;
}

/** A piece of what a command wrote. */
export interface Output {
  readonly stream: "stdout" | "stderr";
  readonly text: string;
}

/** What a command wrote. */
export interface CommandResult {
  readonly stdout: string;
  readonly stderr: string;
  /** Whether it wrote more than was kept: then these are the beginnings. */
  readonly truncated: boolean;
}

const TIMED_OUT = Symbol("timed out");
const MAX_TIMEOUT_MS = 24 * 3_600_000;
/** The node ends a command by itself a while after it was told to, in case that did not arrive. */
const LIMIT_MARGIN_S = 10;
export async function runCommand(
  route: Route,
  command: Command,
  options: RunOptions = {},
): Promise<CommandResult> {
  requireMade(command);
  const { timeoutMs = 60_000, signal, onOutput, maxOutputBytes = 1_048_576 } = options;
  if (!(timeoutMs >= 1 && timeoutMs <= MAX_TIMEOUT_MS)) {
    throw new RangeError(`timeoutMs is ${timeoutMs}: it takes 1 to ${MAX_TIMEOUT_MS}`);
  }
  signal?.throwIfAborted();
  const place = { node: route.node, command: command.name };
  const line = printLine(command, Math.ceil(timeoutMs / 1_000) + LIMIT_MARGIN_S);
  if (Buffer.byteLength(line) > MAX_LINE_BYTES) {
    throw new InvalidArgumentsError(command.name, [
      `all in all longer than ${MAX_LINE_BYTES} bytes`,
    ]);
  }

  // Its reason is what the caller is told.
  const stop = new AbortController();
  const onAbort = () => stop.abort(signal?.reason);
  signal?.addEventListener("abort", onAbort, { once: true });
  const timer = setTimeout(() => stop.abort(TIMED_OUT), timeoutMs);
  const capture = createCapture(maxOutputBytes, (output) => {
    try {
      onOutput?.(output);
    } catch (error) {
      stop.abort(error);
    }
  });
  try {
    const starting = startProcess(route, line, command.name);
    const ended = starting.then((process) => {
      process.channel.on("data", capture.stdout);
      process.channel.stderr.on("data", capture.stderr);
      void process.exited.then(() => clearTimeout(timer));
      return process.closed;
    });
    await Promise.race([onceAborted(stop.signal), ended.catch(() => {})]);
    if (stop.signal.aborted) {
      const stopped = await stopProcess(starting);
      throw stop.signal.reason === TIMED_OUT
        ? new CommandTimeoutError(place, { timeoutMs, stopped })
        : stop.signal.reason;
    }
    const exit = await ended;
    if (exit === null) throw new CommandLostError(place, { cause: route.failure() });
    const { stdout, stderr, truncated, stderrTail } = capture.end();
    if (exit.code === 0) return { stdout, stderr, truncated };
    throw new CommandFailedError(place, { exitCode: exit.code, signal: exit.signal, stderrTail });
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", onAbort);
  }
}

const onceAborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
