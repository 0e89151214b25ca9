import { spawn } from "node:child_process";

const MAX_OUTPUT = 65_536;

/**
 * Runs a program in a process group of its own, and returns what it printed; null when it is not
 * in PATH. When the signal aborts the whole group is killed: a wrapper would leave the program
 * behind that hangs.
 *
 * @throws An Error with the end of what it said when it did not end with 0.
 */
export function runIfInstalled(
  [program, ...args]: readonly [string, ...string[]],
  { signal }: { signal: AbortSignal },
): Promise<string | null> {
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
      if (error.code === "ENOENT") resolve(null);
      else reject(error);
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
