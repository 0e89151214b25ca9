import { randomBytes } from "node:crypto";
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmdirSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const FIRST_PAUSE_MS = 2;
const LONGEST_PAUSE_MS = 100;

/**
 * A control group (version 2, cgroups(7)) for one process of steps. It holds all descendants of the
 * process, in any session and process group and with any environment. A descendant can leave only if it
 * may write to another group.
 */
export interface StepCgroup {
  readonly folder: string;
  /** Ends all processes in it, and removes it. */
  end(): Promise<void>;
}

/** Moves a process into its own group. Undefined where this user cannot create one. */
export function enclose(pid: number): StepCgroup | undefined {
  parent ??= findParent();
  if (parent === null) return undefined;
  const folder = path.join(parent, `${ownPrefix()}-${randomBytes(4).toString("hex")}`);
  try {
    mkdirSync(folder);
  } catch {
    return undefined;
  }
  try {
    writeFileSync(path.join(folder, "cgroup.procs"), String(pid));
  } catch {
    remove(folder);
    return undefined;
  }
  return { folder, end: () => endCgroup(folder) };
}

/** The processes of a group, without those that have ended and were not reaped. */
export function membersOf(folder: string): number[] {
  try {
    const text = readFileSync(path.join(folder, "cgroup.procs"), "utf8");
    return text.split("\n").flatMap((line) => (line === "" ? [] : [Number(line)]));
  } catch {
    return [];
  }
}

/** Kills every process of a group at once, even while they fork, without waiting for it. */
export function killCgroup(folder: string): void {
  try {
    writeFileSync(path.join(folder, "cgroup.kill"), "1");
  } catch {
    // Before Linux 5.14, one by one.
    for (const pid of membersOf(folder)) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // It has ended by itself.
      }
    }
  }
}

/** Identifies the agent that a group belongs to. A process number is unique within its namespace. */
const ownPrefix = () => `loom-${pidNamespace()}-${process.pid}`;
const pidNamespace = () => readlinkSync("/proc/self/ns/pid").replace(/\D/g, "");

/** The agent's own group; null where there is none. */
let parent: string | null | undefined;

function findParent(): string | null {
  try {
    const own = /^0::(\/.*)$/m.exec(readFileSync("/proc/self/cgroup", "utf8"))?.[1];
    const mounts = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
    const mount = mounts.find((line) => line.includes(" - cgroup2 "))?.split(" ");
    const [, , , root, point] = mount ?? [];
    if (!own || !root || !point || !own.startsWith(root)) return null;
    const folder = path.join(point, own.slice(root === "/" ? 0 : root.length));
    sweep(folder);
    return folder;
  } catch {
    return null;
  }
}

/** Ends the groups that a killed agent has left here. */
function sweep(folder: string): void {
  const namespace = pidNamespace();
  for (const name of readdirSync(folder)) {
    const [, of, agent] = /^loom-(\d+)-(\d+)-[0-9a-f]+$/.exec(name) ?? [];
    if (of === namespace && !isAlive(Number(agent))) void endCgroup(path.join(folder, name));
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

async function endCgroup(folder: string): Promise<void> {
  for (
    let pauseMs = FIRST_PAUSE_MS;
    !remove(folder);
    pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)
  ) {
    killCgroup(folder);
    await sleep(pauseMs);
  }
}

/** Removes an empty group and the groups inside it. */
function remove(folder: string): boolean {
  try {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      if (entry.isDirectory()) remove(path.join(folder, entry.name));
    }
    rmdirSync(folder);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ENOENT";
  }
}
