import type { Client, ClientChannel } from "ssh2";
import { createCapture } from "./capture.ts";
import { GRACE_MS, MAX_LINE_BYTES, printLine } from "./command-line.ts";
import { type Command, requireMade } from "./define-commands.ts";
import {
  CommandFailedError,
  CommandLostError,
  CommandRefusedError,
  CommandTimeoutError,
  InvalidArgumentsError,
} from "./errors.ts";
import { within } from "./within.ts";

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

/** What a command needs of its connection. */
export interface Route {
  readonly client: Client;
  readonly node: string;
  /** Resolves when the connection is gone. */
  readonly gone: Promise<void>;
  /** Why it is gone, if that is known. */
  failure(): Error | undefined;
}

const MAX_TIMEOUT_MS = 24 * 3_600_000;
/** The node ends a command by itself a while after it was told to, in case that did not arrive. */
const LIMIT_MARGIN_S = 10;
/** Grace, and time for the answer. Less than what a worker grants a step after its abort. */
const STOP_MS = GRACE_MS + 2_000;
/** A command that has ended can leave somebody in the background who holds its output open. */
const DRAIN_MS = 1_000;

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

  // The reason of the abort is what the caller is told.
  const stop = new AbortController();
  const onAbort = () => stop.abort(signal?.reason);
  signal?.addEventListener("abort", onAbort, { once: true });
  const timer = setTimeout(() => stop.abort(TIMED_OUT), timeoutMs);
  try {
    const channel = await openChannel(route, line, { place, stop: stop.signal });
    const capture = createCapture(maxOutputBytes, (output) => {
      try {
        onOutput?.(output);
      } catch (error) {
        stop.abort(error);
      }
    });
    channel.on("data", capture.stdout);
    channel.stderr.on("data", capture.stderr);
    const { exit, stopped } = await follow(channel, { stop: stop.signal, gone: route.gone });

    if (exit === null && stop.signal.aborted)
      throw toThrown(stop.signal, { place, timeoutMs, stopped });
    if (exit === null) throw new CommandLostError(place, { cause: route.failure() });
    const { stdout, stderr, truncated, stderrTail } = capture.end();
    if (exit.code !== 0) {
      throw new CommandFailedError(place, { exitCode: exit.code, signal: exit.signal, stderrTail });
    }
    return { stdout, stderr, truncated };
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", onAbort);
  }
}

const TIMED_OUT = Symbol("timed out");

const toThrown = (
  { reason }: AbortSignal,
  {
    place,
    ...end
  }: { place: { node: string; command: string }; timeoutMs: number; stopped: boolean },
): unknown => (reason === TIMED_OUT ? new CommandTimeoutError(place, end) : reason);

interface Exit {
  readonly code: number | null;
  readonly signal: string | null;
}

/** Waits until the command has ended, or until it was told to and had its time. */
async function follow(
  channel: ClientChannel,
  { stop, gone }: { stop: AbortSignal; gone: Promise<void> },
): Promise<{ exit: Exit | null; stopped: boolean }> {
  let exit: Exit | null = null;
  channel.once("exit", (code: number | null, signal?: string) => {
    exit = { code, signal: signal === undefined ? null : `SIG${signal.replace(/^SIG/, "")}` };
    setTimeout(() => channel.close(), DRAIN_MS).unref();
  });
  const closed = new Promise<void>((resolve) => channel.once("close", () => resolve()));
  const ended = Promise.race([closed, gone]);

  await Promise.race([ended, aborted(stop)]);
  const endedByItself = exit;
  if (!stop.aborted || endedByItself !== null) {
    await ended;
    return { exit, stopped: true };
  }
  // The end of its input: what owns the process group on the node ends it.
  channel.end();
  await within(STOP_MS, ended);
  channel.close();
  return { exit: null, stopped: exit !== null };
}

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });

/** Opens a channel that runs the line; one that is opened too late is closed. */
function openChannel(
  { client, gone, failure }: Route,
  line: string,
  { place, stop }: { place: { node: string; command: string }; stop: AbortSignal },
): Promise<ClientChannel> {
  return new Promise((resolve, reject) => {
    void aborted(stop).then(() => reject(toThrown(stop, { place, timeoutMs: 0, stopped: false })));
    void gone.then(() => reject(new CommandLostError(place, { cause: failure() })));
    try {
      client.exec(line, (error, channel) => {
        if (error) reject(new CommandRefusedError(place, { cause: error }));
        else if (stop.aborted) channel.destroy();
        else resolve(channel);
      });
    } catch (error) {
      // It throws when the connection is gone already.
      reject(new CommandLostError(place, { cause: failure() ?? error }));
    }
  });
}
