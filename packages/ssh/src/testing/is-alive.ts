import { readFileSync } from "node:fs";

/** Whether a process runs. A zombie does not run: it only waits for its parent. */
export function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}
