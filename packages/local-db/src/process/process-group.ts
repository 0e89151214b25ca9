import { readFileSync } from "node:fs";

/** Whether a process runs. A zombie, which a container without an init leaves behind, has ended. */
export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: the process runs as another user.
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
  try {
    // The state follows the name, which is in parentheses and may itself contain some.
    return !/\) [ZX] [^)]*$/.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return true; // macOS has no /proc
  }
}

/** Sends a signal to one process. Does nothing if it has ended. */
export function signalProcess(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // ESRCH: no process is left. (macOS reports EPERM for a group of zombies.)
  }
}

/** Kills the process group that `pid` leads. */
export function killGroup(pid: number): void {
  signalProcess(-pid, "SIGKILL");
}
