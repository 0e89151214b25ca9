import { spawn } from "node:child_process";
import type { Readable } from "node:stream";

/** How long to read on when a process that the command left behind still holds its output. */
const DRAIN_MS = 250;

/** How a command ended. */
export interface Exit {
  /** The exit code; `null` when a signal ended the command. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

interface RunOptions {
  readonly signal: AbortSignal;
  /** The limit of each stream. A command that prints more is killed. */
  readonly maxBytes: number;
  /**
   * Called with a promise that resolves when the process is gone. A killed process may take long.
   */
  readonly onStart?: (ended: Promise<void>) => void;
}

/**
 * Runs a command without a shell. It settles when the command has ended, even if another process
 * still holds its output. When the signal aborts, it kills the command and rejects at once.
 *
 * @throws OutputTooLongError when the command prints too much.
 * @throws The signal's reason, or the error of `spawn`.
 */
export function runCommand(
  command: string,
  args: readonly string[],
  { signal, maxBytes, onStart }: RunOptions,
): Promise<Exit> {
  return new Promise((resolve, reject) => {
    // execFile would not do: it answers an abort with SIGTERM, waits for any process that holds the
    // output, and ignores the signal once the command has ended.
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], windowsHide: true });
    onStart?.(new Promise((gone) => child.once("exit", () => gone()).once("error", () => gone())));
    let drained: NodeJS.Timeout | undefined;
    let isSettled = false;
    const letGo = () => {
      isSettled = true;
      clearTimeout(drained);
      signal.removeEventListener("abort", onAbort);
      child.kill("SIGKILL");
      child.stdout.destroy();
      child.stderr.destroy();
      // A process that cannot be killed must not keep this process alive.
      child.unref();
    };
    const fail = (error: unknown) => {
      // A process that may not be killed emits a second error.
      if (isSettled) return;
      letGo();
      reject(error);
    };
    const onAbort = () => fail(signal.reason);
    const read = (stream: Readable) => collect(stream, maxBytes, fail);
    const [stdout, stderr] = [read(child.stdout), read(child.stderr)];
    child.on("error", fail);
    child.once("exit", (code) => {
      const settle = () => {
        letGo();
        resolve({ code, stdout: stdout(), stderr: stderr() });
      };
      drained = setTimeout(settle, DRAIN_MS);
      child.once("close", settle);
    });
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) onAbort();
  });
}

/** A command printed more than it may. */
export class OutputTooLongError extends Error {
  override readonly name = "OutputTooLongError";
  readonly code = "OUTPUT_TOO_LONG";
}

/**
 *
 * @returns A function that returns the text so far.
 */
function collect(
  stream: Readable,
  maxBytes: number,
  onTooLong: (error: OutputTooLongError) => void,
): () => string {
  const chunks: Buffer[] = [];
  let bytes = 0;
  stream.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > maxBytes) onTooLong(new OutputTooLongError(`more than ${maxBytes} bytes`));
    else chunks.push(chunk);
  });
  return () => Buffer.concat(chunks).toString("utf8");
}
