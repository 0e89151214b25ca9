import { setImmediate as nextTurn } from "node:timers/promises";
import { membersOf } from "./cgroup.ts";
import { hasEnded, ownChildren } from "./process-tree.ts";
import { reap } from "./subreaper.ts";

/** The state of a process that a step could change, as far as it is cheap to read. */
export interface Traces {
  folder: string;
  umask: number;
  environment: Readonly<Record<string, string | undefined>>;
  /** The number of resources that keep the event loop alive, by kind: timers, sockets, files, children. */
  resources: ReadonlyMap<string, number>;
  listeners: number;
  /** The processes in its control group; without one, its children. */
  processes: readonly number[];
}

/** @param cgroup - The folder of the process's own control group, where it has one. */
export const takeTraces = (cgroup: string | null): Traces => ({
  folder: process.cwd(),
  umask: process.umask(),
  environment: { ...process.env },
  resources: count(process.getActiveResourcesInfo()),
  listeners: process.eventNames().reduce((sum, name) => sum + process.listenerCount(name), 0),
  processes: cgroup === null ? runningChildren() : membersOf(cgroup),
});

const runningChildren = (): number[] =>
  ownChildren().flatMap((one) => (hasEnded(one) ? [] : [one.pid]));

/** Children that have ended and that nobody has reaped. */
const endedChildren = (): number[] =>
  ownChildren().flatMap((one) => (hasEnded(one) ? [one.pid] : []));

/** A resource that was opened or closed at the end shows some turns of the event loop later. */
const TURNS = 10;

/**
 * Describes what a step left behind in its process; null when it left nothing. The state of modules does
 * not count, because a process is kept for that state.
 */
export async function leftBehind(before: Traces, cgroup: string | null): Promise<string | null> {
  let left: string | null = null;
  for (let turn = 0; turn < TURNS; turn += 1) {
    await nextTurn();
    left = compare(before, cgroup);
    if (left === null && endedChildren().length === 0) return null;
  }
  // Node has reaped its own children by now. These are orphans of other processes.
  for (const pid of endedChildren()) reap(pid);
  return left;
}

function compare(before: Traces, cgroup: string | null): string | null {
  let now: Traces;
  try {
    now = takeTraces(cgroup);
  } catch (error) {
    return `its folder is gone (${(error as Error).message})`;
  }
  if (now.folder !== before.folder) return `it is in the folder ${now.folder}`;
  if (now.umask !== before.umask) return `its umask is ${now.umask.toString(8)}`;
  const variable = changedName(before.environment, now.environment);
  if (variable !== undefined) return `its variable ${variable} was changed`;
  for (const [kind, amount] of now.resources) {
    if (amount > (before.resources.get(kind) ?? 0)) return `a ${kind} is still active`;
  }
  const stray = now.processes.find((pid) => !before.processes.includes(pid));
  if (stray !== undefined) return `process ${stray} is still running`;
  return now.listeners > before.listeners ? "it listens to more events of the process" : null;
}

const changedName = (
  before: Traces["environment"],
  now: Traces["environment"],
): string | undefined =>
  Object.keys({ ...before, ...now }).find((name) => before[name] !== now[name]);

function count(kinds: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const kind of kinds) {
    // The turn that this check waits for.
    if (kind !== "Immediate") counts.set(kind, (counts.get(kind) ?? 0) + 1);
  }
  return counts;
}
