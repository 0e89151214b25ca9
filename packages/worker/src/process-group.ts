import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

const FIRST_LOOK_MS = 2;
const SLOWEST_LOOK_MS = 100;

/** Sends a signal to every process of a group. False when there is none. */
export function signalGroup(group: number, signal: NodeJS.Signals | 0): boolean {
  try {
    process.kill(-group, signal);
    return true;
  } catch (error) {
    // EPERM: there is one that has become somebody else's, and cannot be signalled.
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/**
 * Ends a process group: SIGTERM, SIGKILL after the grace, and then as long as it takes
 * until no process of it is left.
 */
export async function endGroup(group: number, graceMs: number): Promise<void> {
  const startedAt = performance.now();
  let sent: NodeJS.Signals | undefined;
  for (
    let pauseMs = FIRST_LOOK_MS;
    isAlive(group);
    pauseMs = Math.min(2 * pauseMs, SLOWEST_LOOK_MS)
  ) {
    const next = performance.now() - startedAt < graceMs ? "SIGTERM" : "SIGKILL";
    if (sent !== next) signalGroup(group, next);
    sent = next;
    await sleep(pauseMs);
  }
}

/**
 * Ends the processes that carry a variable in their environment, wherever they went: a daemon
 * leaves its parent's group. On Linux only, where an environment can be read.
 */
export async function endMarked(variable: string): Promise<void> {
  for (let pauseMs = FIRST_LOOK_MS; ; pauseMs = Math.min(2 * pauseMs, SLOWEST_LOOK_MS)) {
    const marked = processes().filter((pid) => read(pid, "environ").split("\0").includes(variable));
    if (marked.length === 0) return;
    for (const pid of marked) kill(pid);
    await sleep(pauseMs);
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended by itself, or is another user's by now.
  }
}

// A process that has ended stays in its group until its parent asks for it, which the first
// process of many containers never does.
function isAlive(group: number): boolean {
  if (!signalGroup(group, 0)) return false;
  const members = processes().filter((pid) => {
    const { state, pgrp } = statOf(pid);
    return pgrp === group && state !== "Z" && state !== "X";
  });
  return process.platform !== "linux" || members.length > 0;
}

const processes = (): number[] =>
  process.platform === "linux"
    ? readdirSync("/proc").flatMap((name) => (/^\d+$/.test(name) ? [Number(name)] : []))
    : [];

function statOf(pid: number): { state: string | undefined; pgrp: number } {
  // pid (name) state ppid pgrp …; the name may hold anything, also brackets: proc_pid_stat(5).
  const stat = read(pid, "stat");
  const [state, , pgrp] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return { state, pgrp: Number(pgrp) };
}

/** Empty for a process that is gone or not ours. */
function read(pid: number, file: "stat" | "environ"): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "latin1");
  } catch {
    return "";
  }
}
