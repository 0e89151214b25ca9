// The processes of a measurement, as Linux describes them in /proc: who started whom, their processor time and
// their memory. Processor time, unlike the clock, hardly depends on what else the machine does.
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";

export interface Process {
  readonly pid: number;
  readonly parent: number;
  readonly args: readonly string[];
}

/** Lists a process and all that it and its children have started. */
export function processTree(root: number): Process[] {
  const all = numbersIn("/proc").flatMap((pid) => {
    const fields = statOf(pid);
    const args = read(`/proc/${pid}/cmdline`).split("\0").filter(Boolean);
    return fields ? [{ pid, parent: Number(fields[1]), args }] : [];
  });
  const below = (pid: number): Process[] =>
    all.filter(({ parent }) => parent === pid).flatMap((each) => [each, ...below(each.pid)]);
  return [...all.filter(({ pid }) => pid === root), ...below(root)];
}

/**
 * Returns the processor time that a live process has used, in seconds: to the nanosecond if it has one thread. With
 * several it is to the hundredth, because only the process's own counter keeps the time of threads that have ended.
 */
export function cpuSeconds(pid: number): number {
  if (numbersIn(`/proc/${pid}/task`).length === 1) {
    return Number(read(`/proc/${pid}/schedstat`).split(" ")[0]) / 1e9;
  }
  const fields = statOf(pid);
  return fields ? (Number(fields[11]) + Number(fields[12])) / TICKS : 0;
}

/** Returns the processor time of the children of a process that have ended, in seconds. */
export function endedChildrenSeconds(pid: number): number {
  const fields = statOf(pid);
  return fields ? (Number(fields[13]) + Number(fields[14])) / TICKS : 0;
}

/**
 * Returns the memory of a process in KiB. `pss` counts a page that several processes share in parts,
 * one for each of them, so a sum of it is what the machine would get back.
 */
export const memoryKib = (pid: number): { pss: number; rss: number } => ({
  pss: kibibytes(`/proc/${pid}/smaps_rollup`, "Pss"),
  rss: kibibytes(`/proc/${pid}/status`, "VmRSS"),
});

/** Returns the name that a person would give a process: the program, or the file that Node runs. */
export function processName({ args: [command = "", ...args] }: Process, root: string): string {
  const program = path.basename(command);
  if (/^postgres(:|$)/.test(program)) return "Postgres";
  if (program !== "node") return program.replace(/ .*/, "");
  const file = args.findLast((arg) => /\.[cm]?[jt]s$/.test(arg));
  return file
    ? path.relative(root, path.resolve(root, file)).replace(/^.*node_modules\//, "")
    : `node ${args.join(" ").slice(0, 30)}`;
}

// Clock ticks a second, see proc_pid_stat(5): the same on every current Linux.
const TICKS = 100;

/** The fields after the command, from `state` on. A command may contain spaces and parentheses. */
function statOf(pid: number): string[] | undefined {
  const text = read(`/proc/${pid}/stat`);
  return text ? text.slice(text.lastIndexOf(")") + 2).split(" ") : undefined;
}

const kibibytes = (file: string, name: string): number =>
  Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(read(file))?.[1] ?? 0);

const numbersIn = (folder: string): number[] => {
  try {
    return readdirSync(folder)
      .filter((entry) => /^\d+$/.test(entry))
      .map(Number);
  } catch {
    return []; // the process has ended meanwhile
  }
};

const read = (file: string): string => {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return ""; // the process has ended meanwhile
  }
};
