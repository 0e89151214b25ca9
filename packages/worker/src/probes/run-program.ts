import { spawn } from "node:child_process";

const MAX_OUTPUT = 65_536;

/** The program is not in PATH. */
export class ProgramMissingError extends Error {
  override readonly name = "ProgramMissingError";
  readonly code = "PROGRAM_MISSING";
  constructor(program: string) {
    super(`${program} is not installed`);
  }
}

/**
 * Runs a program in a process group of its own, and returns what it printed. When the signal
 * aborts the whole group is killed: a wrapper would leave the program behind that hangs.
 *
 * @throws ProgramMissingError; an Error with the end of what it said when it did not end with 0.
 */
export function runProgram(
  [program, ...args]: readonly [string, ...string[]],
  { signal }: { signal: AbortSignal },
): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { detached: true, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    let complaint = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      output = (output + text).slice(0, MAX_OUTPUT);
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      complaint = (complaint + text).slice(-300);
    });
    const kill = () => {
      if (child.pid === undefined) return;
      try {
        process.kill(-child.pid, "SIGKILL");
      } catch (error) {
        // It has ended.
        if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
      }
    };
    signal.addEventListener("abort", kill);
    child.on("error", (error: NodeJS.ErrnoException) => {
      signal.removeEventListener("abort", kill);
      reject(error.code === "ENOENT" ? new ProgramMissingError(program) : error);
    });
    child.on("close", (code, killedBy) => {
      signal.removeEventListener("abort", kill);
      if (code === 0) resolve(output);
      else {
        const said = (complaint || output).trim().slice(-300);
        reject(new Error(`${program} ended with ${code ?? killedBy}${said && `: ${said}`}`));
      }
    });
  });
}

/** Like `runProgram`; null when the program is missing. */
export const runIfInstalled = (
  argv: readonly [string, ...string[]],
  options: { signal: AbortSignal },
): Promise<string | null> =>
  runProgram(argv, options).catch((error: unknown) => {
    if (error instanceof ProgramMissingError) return null;
    throw error;
  });
