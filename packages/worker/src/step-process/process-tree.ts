import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { becomeSubreaper, hasEndedChild, isChildless, reap } from "./subreaper.ts";

/** The pause between two checks whether processes have ended. It doubles. */
const FIRST_PAUSE_MS = 2;
const LONGEST_PAUSE_MS = 100;

/** How often orphans that have ended are reaped. */
const REAP_EVERY_MS = 1_000;

/** Raises a step's chance to be ended when memory runs out above the agent's: proc_pid_oom_score_adj(5). */
const OOM_SCORE_RAISE = 500;
const MAX_OOM_SCORE = 1_000;

/** The children of this process whose score it has raised itself. */
const exposed = new Set<number>();

/**
 * Makes the kernel end a child before this process when memory runs out, because this process has to
 * report it. The child's descendants inherit the raised score, which identifies them: see
 * {@link endStrays}.
 *
 * @returns A function to call when the child has ended, because its number may be used again.
 */
export function exposeToOomKiller(pid: number): () => void {
  exposed.add(pid);
  try {
    writeFileSync(`/proc/${pid}/oom_score_adj`, String(raisedScore()));
  } catch {
    // Not Linux, or it has ended already.
  }
  return () => void exposed.delete(pid);
}

const ownScore = (): number => Number(readFileSync("/proc/self/oom_score_adj", "utf8"));
const raisedScore = (): number => Math.min(MAX_OOM_SCORE, ownScore() + OOM_SCORE_RAISE);

/**
 * Ends all descendants of a process, and leaves the process itself stopped. A process is stopped before
 * its children are listed, so that it cannot start more of them. Where the root is a subreaper, this
 * finds everything that it and its descendants ever started. Elsewhere it finds only processes whose
 * ancestors are all alive.
 */
export async function endDescendants(pid: number): Promise<void> {
  const root = statOf(pid);
  if (!root || hasEnded(root)) return;
  signal(root, "SIGSTOP");
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)) {
    const descendants = stopDescendants(root);
    for (const one of descendants) signal(one, "SIGKILL");
    if (descendants.length === 0) return;
    await sleep(pauseMs);
  }
}

/** Ends the descendants of this process without yielding, for at most `withinMs`. */
export function endOwnDescendants(withinMs: number): void {
  const self = statOf(process.pid);
  const until = performance.now() + withinMs;
  while (self && performance.now() < until) {
    const descendants = stopDescendants(self);
    if (descendants.length === 0) return;
    for (const one of descendants) signal(one, "SIGKILL");
  }
}

function stopDescendants(root: ProcessStat): ProcessStat[] {
  const known = new Map([[root.pid, root]]);
  for (let before = 0; before < known.size; ) {
    before = known.size;
    const table = processTable();
    // The table has no order: a child may come before its parent.
    for (let size = 0; size < known.size; ) {
      size = known.size;
      for (const one of table) {
        if (known.has(one.pid) || !known.has(one.parent) || hasEnded(one)) continue;
        if (signal(one, "SIGSTOP")) known.set(one.pid, one);
      }
    }
  }
  known.delete(root.pid);
  return [...known.values()];
}

/** The children of this process, including those that have ended and were not reaped. */
export const ownChildren = (): ProcessStat[] =>
  isChildless() ? [] : processTable().filter(({ parent }) => parent === process.pid);

/**
 * Makes this process, where the system allows it, the parent of its descendants' orphans, and reaps
 * those that end: orphans of steps' processes and of any other program that it starts.
 */
export function adoptOrphans(): void {
  if (!becomeSubreaper() || reaping) return;
  let before = new Set<string>();
  reaping = setInterval(() => {
    const ended = hasEndedChild() ? ownChildren().filter(hasEnded) : [];
    // Node reaps the children that it has started in the next turn of its event loop. A child that is
    // still there after that is an orphan.
    for (const one of ended) if (before.has(keyOf(one))) reap(one.pid);
    before = new Set(ended.map(keyOf));
  }, REAP_EVERY_MS).unref();
}

let reaping: NodeJS.Timeout | undefined;
const keyOf = ({ pid, startedAt }: ProcessStat): string => `${pid} ${startedAt}`;

/**
 * Ends the orphans that steps' processes have left to this process, a subreaper. They are identified
 * by the score that they inherited: see {@link exposeToOomKiller}.
 */
export async function endStrays(): Promise<void> {
  if (process.platform !== "linux" || raisedScore() === ownScore()) return;
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)) {
    const strays = processTable().filter(isStray);
    for (const one of strays.filter(hasEnded)) reap(one.pid);
    // The children of a stray that is ended are strays in the next turn.
    const ended = strays.filter((one) => !hasEnded(one) && signal(one, "SIGKILL"));
    if (ended.length === 0) return;
    await sleep(pauseMs);
  }
}

function isStray({ pid, parent }: ProcessStat): boolean {
  if (parent !== process.pid || exposed.has(pid)) return false;
  const score = readOf(pid, "oom_score_adj");
  return score !== "" && Number(score) >= raisedScore();
}

/** Returns false for a process that is gone, or that belongs to another user by now (`sudo`). */
function signal({ pid, startedAt }: ProcessStat, name: NodeJS.Signals): boolean {
  if (statOf(pid)?.startedAt !== startedAt) return false;
  try {
    return process.kill(pid, name);
  } catch {
    return false;
  }
}

/** Sends a signal to every process of a group. Returns false when the group is empty. */
export function signalGroup(group: number, signal: NodeJS.Signals | 0): boolean {
  try {
    process.kill(-group, signal);
    return true;
  } catch (error) {
    // EPERM: a process of the group belongs to another user by now and cannot be signalled.
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** Ends a process group: SIGTERM, SIGKILL after the grace. Resolves when no process of it is left. */
export async function endGroup(group: number, graceMs: number): Promise<void> {
  const startedAt = performance.now();
  let sent: NodeJS.Signals | undefined;
  for (
    let pauseMs = FIRST_PAUSE_MS;
    isAlive(group);
    pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)
  ) {
    const next = performance.now() - startedAt < graceMs ? "SIGTERM" : "SIGKILL";
    if (sent !== next) signalGroup(group, next);
    sent = next;
    await sleep(pauseMs);
  }
}

/**
 * Ends the processes that have a variable in their environment, in any process group: a daemon leaves
 * its parent's group. Does nothing outside Linux, where environments cannot be read.
 */
export async function endMarked(variable: string): Promise<void> {
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)) {
    const marked = processes().filter((pid) =>
      readOf(pid, "environ").split("\0").includes(variable),
    );
    if (marked.length === 0) return;
    for (const pid of marked) kill(pid);
    await sleep(pauseMs);
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended by itself, or belongs to another user by now.
  }
}

// A process that has ended stays in its group until its parent reaps it. The first process of many
// containers never does.
function isAlive(group: number): boolean {
  if (!signalGroup(group, 0)) return false;
  const members = processTable().filter((one) => one.group === group && !hasEnded(one));
  return process.platform !== "linux" || members.length > 0;
}

/** A process as proc_pid_stat(5) describes it. */
export interface ProcessStat {
  pid: number;
  /** `Z` and `X`: it has ended, and its parent has not reaped it. */
  state: string;
  parent: number;
  group: number;
  /** In ticks since the machine started. Distinguishes it from a later process with the same number. */
  startedAt: string;
}

/** The numbers of all processes. Empty where there is no /proc. */
const processes = (): number[] =>
  process.platform === "linux"
    ? readdirSync("/proc").flatMap((name) => (/^\d+$/.test(name) ? [Number(name)] : []))
    : [];

/** Undefined for a process that is gone. */
function statOf(pid: number): ProcessStat | undefined {
  // pid (name) state ppid pgrp …. The name may hold anything, including brackets.
  const stat = readOf(pid, "stat");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const [state, parent, group] = fields;
  const startedAt = fields[19];
  if (!state || startedAt === undefined) return undefined;
  return { pid, state, parent: Number(parent), group: Number(group), startedAt };
}

/** All processes. */
const processTable = (): ProcessStat[] => processes().flatMap((pid) => statOf(pid) ?? []);

export const hasEnded = ({ state }: ProcessStat): boolean => state === "Z" || state === "X";

/** Empty for a process that is gone or belongs to another user. */
function readOf(pid: number, file: "stat" | "environ" | "oom_score_adj"): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "latin1");
  } catch {
    return "";
  }
}
