import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, vi } from "vitest";
import { isRunning } from "../src/process/process-group.ts";

interface ProgramOptions {
  readonly node?: string;
  readonly uid?: number;
  readonly gid?: number;
}

/** Starts one of `programs/` as a separate process and waits for the JSON that it prints. */
export async function startProgram(
  name: string,
  args: string[],
  { node = process.execPath, uid, gid }: ProgramOptions = {},
): Promise<{ program: ChildProcess; said: Record<string, unknown> }> {
  const file = fileURLToPath(new URL(`./programs/${name}.ts`, import.meta.url));
  const program = spawn(node, [file, ...args], {
    stdio: ["ignore", "pipe", "inherit"],
    cwd: "/",
    uid,
    gid,
  });
  onTestFinished(async () => {
    const family = descendants(program.pid as number);
    program.kill("SIGKILL");
    await vi.waitFor(() => expect(family.filter(({ pid }) => isRunning(pid))).toEqual([]), 15_000);
  });
  const said = await new Promise<string>((resolve, reject) => {
    createInterface({ input: program.stdout }).once("line", resolve);
    program.once("error", reject);
    program.once("exit", (code, signal) => reject(new Error(`${name} ended: ${signal ?? code}`)));
  });
  return { program, said: JSON.parse(said) };
}

interface Row {
  readonly pid: number;
  readonly parent: number;
  readonly command: string;
}

/** Whether a process has been stopped: SIGSTOP takes effect a moment after it is sent. */
export function isStopped(pid: number): boolean {
  const state = existsSync("/proc/self/stat")
    ? /\) (.) [^)]*$/.exec(readFileSync(`/proc/${pid}/stat`, "utf8"))?.[1]
    : execFileSync("ps", ["-o", "stat=", "-p", String(pid)], { encoding: "utf8" }).trim()[0];
  return state === "T";
}

/** Returns all descendants of a process, children before their parents. */
export function descendants(pid: number, table = processTable()): Row[] {
  const children = table.filter(({ parent }) => parent === pid);
  return [...children, ...children.flatMap((child) => descendants(child.pid, table))];
}

function processTable(): Row[] {
  // Not every Linux has ps, and macOS has no /proc.
  if (!existsSync("/proc/self/stat")) {
    const lines = execFileSync("ps", ["-A", "-o", "pid=,ppid=,args="], { encoding: "utf8" });
    return lines.split("\n").flatMap((line) => {
      const [, pid, parent, command = ""] = /^ *(\d+) +(\d+) (.*)/.exec(line) ?? [];
      return pid ? [{ pid: Number(pid), parent: Number(parent), command }] : [];
    });
  }
  return readdirSync("/proc").flatMap((pid) => {
    try {
      const [, parent] = /\) . (\d+) [^)]*$/.exec(readFileSync(`/proc/${pid}/stat`, "utf8")) ?? [];
      const command = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
      return parent ? [{ pid: Number(pid), parent: Number(parent), command }] : [];
    } catch {
      return []; // no process, or it has ended
    }
  });
}
