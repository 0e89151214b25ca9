/** How a command is run. */
export interface ExecOptions {
  /** The folder it runs in; default: the step's own. */
  readonly cwd?: string;
  /** Added to the step's own environment; `undefined` takes a variable away. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** What it reads from its standard input; nothing by default. */
  readonly input?: string;
  /** Ends it, besides the step's own signal. */
  readonly signal?: AbortSignal;
}

/** What a command that succeeded wrote. */
export interface ExecResult {
  /** The last 1 MiB. */
  readonly stdout: string;
  /** The last 64 KiB. */
  readonly stderr: string;
}

/**
 * Runs a command, without a shell, in a process group of its own. What it writes goes to the step's log.
 *
 * When it has ended, so has its group: what it left in the background is sent SIGTERM and, 3 s later,
 * SIGKILL. The same ends a command when the signal aborts.
 *
 * @throws An error of code `COMMAND_FAILED` with `exitCode` and `signal`, and the end of what it wrote in
 *   the message; of code `COMMAND_NOT_STARTED` when there is no such program; the reason of the signal.
 */
export type Exec = (
  argv: readonly [program: string, ...args: string[]],
  options?: ExecOptions,
) => Promise<ExecResult>;
