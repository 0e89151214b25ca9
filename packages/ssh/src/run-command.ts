import { randomBytes } from "node:crypto";
import { createCapture, type Output } from "./capture.ts";
import { beginLine, MAX_LINE_BYTES, printLine } from "./command-line.ts";
import { type Command, requireMade } from "./define-commands.ts";
import {
  CommandFailedError,
  CommandLostError,
  CommandRefusedError,
  CommandTimeoutError,
  InvalidArgumentsError,
} from "./errors.ts";
import { type Route, startProcess, stopProcess } from "./remote-process.ts";

export interface RunOptions {
  /** In milliseconds. Default 60 000, at most 24 hours. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  /** Called with each piece of output as it arrives. An error that it throws ends the command. */
  readonly onOutput?: (output: Output) => void;
  /** How many bytes of stdout and of stderr are kept for the result. Default 1 MiB each. */
  readonly maxOutputBytes?: number;
}

/** The output of a command. */
export interface CommandResult {
  readonly stdout: string;
  readonly stderr: string;
  /** Whether it wrote more than was kept. The result then has the beginnings. */
  readonly truncated: boolean;
}

const TIMED_OUT = Symbol("timed out");
const MAX_TIMEOUT_MS = 24 * 3_600_000;
/**
 * The node ends a command by itself this long after the timeout, in case the request to end it is
 * lost.
 */
const LIMIT_MARGIN_S = 10;

/** Runs a command over a connection; see {@link Connection.run}. */
export async function runCommand(
  route: Route,
  command: Command,
  options: RunOptions = {},
): Promise<CommandResult> {
  requireMade(command);
  const { timeoutMs = 60_000, signal, onOutput, maxOutputBytes = 1_048_576 } = options;
  if (!(timeoutMs >= 1 && timeoutMs <= MAX_TIMEOUT_MS)) {
    throw new RangeError(`timeoutMs is ${timeoutMs}: give a number from 1 to ${MAX_TIMEOUT_MS}`);
  }
  signal?.throwIfAborted();
  const place = { node: route.node, command: command.name };
  const nonce = randomBytes(16).toString("hex");
  const limitSeconds = Math.ceil(timeoutMs / 1_000) + LIMIT_MARGIN_S;
  const line = printLine(command, { limitSeconds, nonce });
  if (Buffer.byteLength(line) > MAX_LINE_BYTES) {
    throw new InvalidArgumentsError(command.name, [`together longer than ${MAX_LINE_BYTES} bytes`]);
  }

  // The caller gets the reason of this signal.
  const stop = new AbortController();
  const onAbort = () => stop.abort(signal?.reason);
  signal?.addEventListener("abort", onAbort, { once: true });
  const timer = setTimeout(() => stop.abort(TIMED_OUT), timeoutMs);
  const capture = createCapture({
    begin: beginLine(nonce),
    maxBytes: maxOutputBytes,
    onOutput(output) {
      try {
        onOutput?.(output);
      } catch (error) {
        stop.abort(error);
      }
    },
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
    const { begun, stdout, stderr, truncated, stderrTail } = capture.end();
    // Without the begin line, the exit status, even 0, says nothing about the command.
    if (!begun) throw new CommandRefusedError(place, { ...exit, stderrTail });
    if (exit.code === 0) return { stdout, stderr, truncated };
    throw new CommandFailedError(place, { exitCode: exit.code, signal: exit.signal, stderrTail });
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", onAbort);
  }
}

const onceAborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
