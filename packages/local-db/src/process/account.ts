import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";

/** Another user that Postgres can run as. */
export interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

export const isRoot = (): boolean => process.getuid?.() === 0;

/** Returns the unprivileged user that every Unix has. Postgres refuses to run as root. */
export function nobody(): Account {
  const [, uid, gid] =
    /^nobody:[^:]*:(\d+):(\d+):/m.exec(readFileSync("/etc/passwd", "utf8")) ?? [];
  return { name: "nobody", uid: Number(uid ?? 65_534), gid: Number(gid ?? 65_534) };
}

/**
 * Whether `account` can enter a directory. It asks the system, because file modes do not decide
 * alone.
 */
export function canEnter(directory: string, { uid, gid }: Account): boolean {
  const shell = spawnSync("/bin/sh", ["-c", 'cd "$1"', "sh", directory], { uid, gid, cwd: "/" });
  return shell.status === 0;
}
