import { spawn } from "node:child_process";
import { once } from "node:events";
import { SourceError, type SourceErrorCode } from "../errors.ts";
import { milliseconds } from "../milliseconds.ts";
import { parseStatus } from "../parse-status.ts";
import { readText } from "../read-text.ts";
import type { Source } from "../source.ts";

export interface CliSourceOptions {
  /** The executable, a name on PATH or a path; default `"tailscale"`. No shell is involved. */
  command?: string | undefined;
  /** The process is killed after that; default 4 000, as the command itself tries for 2 s or more. */
  timeoutMs?: number | undefined;
}

/** Creates a source that runs `tailscale status --json`, and reads its stdout only. */
export function cliSource({
  command = "tailscale",
  timeoutMs = 4_000,
}: CliSourceOptions = {}): Source {
  const name = "cli";
  milliseconds("timeoutMs", timeoutMs, 1);
  return {
    name,
    async read({ signal } = {}) {
      signal?.throwIfAborted();
      const timeout = AbortSignal.timeout(timeoutMs);
      try {
        const exit = await run(
          name,
          command,
          signal ? AbortSignal.any([signal, timeout]) : timeout,
        );
        if (exit.code === 0) return parseStatus(exit.stdout, name);
        throw failedExit(name, { command, ...exit });
      } catch (error) {
        signal?.throwIfAborted();
        if (error instanceof SourceError) throw error;
        throw toSourceError(error, { name, command, timeoutMs, timedOut: timeout.aborted });
      }
    },
  };
}

interface Exit {
  code: number | null;
  stdout: string;
  stderr: string;
}

async function run(source: string, command: string, signal: AbortSignal): Promise<Exit> {
  // Not execFile: that answers an abort with SIGTERM, whatever its killSignal.
  const child = spawn(command, ["status", "--json"], {
    stdio: ["ignore", "pipe", "pipe"],
    signal,
    killSignal: "SIGKILL",
    windowsHide: true,
  });
  try {
    const [stdout, stderr, [code]] = await Promise.all([
      readText(child.stdout, source),
      readText(child.stderr, source),
      once(child, "close"),
    ]);
    return { code, stdout, stderr };
  } finally {
    child.kill("SIGKILL"); // it may have more to say than we read
    // A child of the killed command may still hold the other ends, and so this process.
    child.stdout.destroy();
    child.stderr.destroy();
  }
}

/** The command exits with 1 whatever went wrong; for `status`, that is not reaching the daemon. */
function failedExit(source: string, { command, code, stderr }: Exit & { command: string }) {
  const said = stderr.trim().slice(-500) || "nothing on stderr";
  return code === null
    ? new SourceError(`\`${command} status\` was killed, run it by hand to see why: ${said}`, {
        code: "BAD_RESPONSE",
        source,
      })
    : new SourceError(
        `\`${command} status\` cannot reach tailscaled (exit code ${code}); start it, or heed what the command says: ${said}`,
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
        `there is no command ${command}: install Tailscale, or pass the path as \`command\` (macOS app: /Applications/Tailscale.app/Contents/MacOS/Tailscale)`,
      );
    case "EACCES":
      return fail("NO_PERMISSION", `this user may not run ${command}: make it executable for them`);
    default:
      return fail("BAD_RESPONSE", `${command} does not run, try it by hand: ${error}`);
  }
}
