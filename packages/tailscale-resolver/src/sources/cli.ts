import { setTimeout as sleep } from "node:timers/promises";
import { SourceError, type SourceErrorCode } from "../errors.ts";
import { parseStatus } from "../parse-status.ts";
import { MAX_BYTES, tooLong } from "../read-text.ts";
import { type Exit, OutputTooLongError, runCommand } from "../run-command.ts";
import { milliseconds, type Source } from "../source.ts";

export interface CliSourceOptions {
  /** The executable, a name in PATH or a path. Default `"tailscale"`. It runs without a shell. */
  command?: string | undefined;
  /**
   * The time after which the process is killed, in milliseconds. Default 4 000, because the command
   * itself retries for 2 s or more.
   */
  timeoutMs?: number | undefined;
}

/** The longest time that a killed process usually takes to be gone. */
const KILLED_MS = 250;

/**
 * Creates a source that runs `tailscale status --json` and reads its stdout. It starts no new
 * process while an earlier one cannot be killed.
 */
export function cliSource({
  command = "tailscale",
  timeoutMs = 4_000,
}: CliSourceOptions = {}): Source {
  const name = "cli";
  milliseconds("timeoutMs", timeoutMs, 1);
  const givenUp = new Set<Promise<void>>();
  const remember = (ended: Promise<void>) => {
    givenUp.add(ended);
    void ended.then(() => givenUp.delete(ended));
  };
  return {
    name,
    async read({ signal } = {}) {
      signal?.throwIfAborted();
      if (givenUp.size > 0) await Promise.race([...givenUp, sleep(KILLED_MS)]);
      if (givenUp.size > 0) {
        throw new SourceError(
          `an earlier \`${command} status\` hangs and cannot be killed: find out what it waits for; it runs again only after that process has ended`,
          { code: "DAEMON_HUNG", source: name },
        );
      }
      const timeout = AbortSignal.timeout(timeoutMs);
      let ended: Promise<void> | undefined;
      try {
        const exit = await runCommand(command, ["status", "--json"], {
          signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
          maxBytes: MAX_BYTES,
          onStart: (gone) => {
            ended = gone;
          },
        });
        if (exit.code === 0) return parseStatus(exit.stdout, name);
        throw failedExit(name, { command, ...exit });
      } catch (error) {
        if (ended !== undefined) remember(ended);
        signal?.throwIfAborted();
        if (error instanceof SourceError) throw error;
        if (error instanceof OutputTooLongError) throw tooLong(name);
        throw toSourceError(error, { name, command, timeoutMs, timedOut: timeout.aborted });
      }
    },
  };
}

/**
 * The command exits with 1 for any failure. For `status`, the failure is that it cannot reach the
 * daemon.
 */
function failedExit(source: string, { command, code, stderr }: Exit & { command: string }) {
  const said = stderr.trim().slice(-500) || "nothing on stderr";
  return code === null
    ? new SourceError(`\`${command} status\` was killed; run it by hand to see why: ${said}`, {
        code: "BAD_RESPONSE",
        source,
      })
    : new SourceError(
        `\`${command} status\` cannot reach tailscaled (exit code ${code}); start it, or follow the command's message: ${said}`,
        { code: "DAEMON_ABSENT", source },
      );
}

function toSourceError(
  error: unknown,
  context: { name: string; command: string; timeoutMs: number; timedOut: boolean },
): SourceError {
  const { name, command, timeoutMs, timedOut } = context;
  const fail = (code: SourceErrorCode, message: string) =>
    new SourceError(message, { code, source: name, cause: error });
  if (timedOut) {
    return fail(
      "DAEMON_HUNG",
      `\`${command} status\` gave no answer within ${timeoutMs} ms and was killed: tailscaled is starting or stuck; see its log, or restart it`,
    );
  }
  switch ((error as NodeJS.ErrnoException).code) {
    case "ENOENT":
      return fail(
        "NOT_INSTALLED",
        `the command ${command} does not exist: install Tailscale, or pass the path as \`command\` (macOS app: /Applications/Tailscale.app/Contents/MacOS/Tailscale)`,
      );
    case "EACCES":
      return fail(
        "NO_PERMISSION",
        `this user may not run ${command}: make it executable for this user`,
      );
    default:
      return fail("BAD_RESPONSE", `${command} does not run; try it by hand: ${error}`);
  }
}
