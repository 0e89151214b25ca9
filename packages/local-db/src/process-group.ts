import { readFileSync } from "node:fs";

/** True while a process runs; a zombie, which a container without an init leaves behind, has ended. */
export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: it runs, as somebody else.
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
  try {
    // The state follows the name, which stands in parentheses and may itself hold some.
    return !/\) [ZX] [^)]*$/.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return true; // macOS has no /proc
  }
}

/** Sends a signal to one process; one that has ended is left alone. */
export function signalProcess(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // ESRCH: nothing left to signal. (macOS answers EPERM for a group of zombies.)
  }
}

/** Ends what is left of the process group that `pid` leads. */
export function killGroup(pid: number): void {
  signalProcess(-pid, "SIGKILL");
}
