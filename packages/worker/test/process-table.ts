import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

/** Whether a process goes on. One that has ended and that nobody has asked about has no command line. */
export const isAlive = (pid: number): boolean => read(pid, "cmdline") !== "";

/** The environment that a process was started with; empty when it is gone. */
export const environmentOf = (pid: number): string => read(pid, "environ");

/** The processes of a group that go on, as ps shows them. */
export const membersOf = (group: number): string[] =>
  execFileSync("ps", ["-eo", "pgid,stat,args"], { encoding: "utf8" })
    .split("\n")
    .filter((line) => new RegExp(`^ *${group} +[^Z]`).test(line));

function read(pid: number, file: "cmdline" | "environ"): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "utf8");
  } catch {
    return "";
  }
}
