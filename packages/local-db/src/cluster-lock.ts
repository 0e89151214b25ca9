// Postgres itself sees to it that one server runs on a cluster's folder: it writes its pid to
// postmaster.pid. What is added here is what to do when that file is there at the start.
//
//   its server answers, and the process that started it lives   in use: refuse
//   its server answers, and that process is gone                left over: end it
//   its server is starting or stopping                          wait for one of the others
//   no such process                                             Postgres replaces the file
//   a process with that pid, which is no server                 the pid was given away: remove the file
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { withConnection } from "./connect.ts";
import { DataDirInUseError } from "./errors.ts";
import { isRunning, signalProcess } from "./process-group.ts";

const POLL_MS = 25;
/** A server may be replaying its log, or writing it out. */
const BUSY_TIMEOUT_MS = 60_000;
/** A server opens its socket just after it has written the file. */
const SILENT_TIMEOUT_MS = 2_000;

interface Lock {
  readonly pid: number;
  readonly port: number;
  readonly socketDir: string;
}

/**
 * Returns when a server can be started on a cluster.
 *
 * @throws DataDirInUseError when another live process uses it.
 */
export async function untilClusterIsFree(dataDir: string, data: string): Promise<void> {
  const start = performance.now();
  for (;;) {
    const lock = await readLock(data);
    if (!lock || !isRunning(lock.pid)) return;
    const waitedMs = performance.now() - start;
    const owner = await askOwner(lock);
    if (owner === "silent" && waitedMs > SILENT_TIMEOUT_MS) {
      await rm(join(data, "postmaster.pid"), { force: true });
      return;
    }
    if (owner === "unknown" || waitedMs > BUSY_TIMEOUT_MS) {
      throw new DataDirInUseError(dataDir, lock.pid);
    }
    if (typeof owner === "number") {
      if (isRunning(owner)) throw new DataDirInUseError(dataDir, owner);
      signalProcess(lock.pid, "SIGINT");
    }
    await sleep(POLL_MS);
  }
}

/** The pid in a cluster's lock file, for the one who has just lost the race for it. */
export async function lockHolder(data: string): Promise<number> {
  return (await readLock(data))?.pid ?? 0;
}

/** Lines of postmaster.pid: pid, data folder, start time, port, socket directory, ... */
async function readLock(data: string): Promise<Lock | undefined> {
  const text = await readFile(join(data, "postmaster.pid"), "utf8").catch(() => "");
  const [pid, , , port, socketDir] = text.split("\n");
  if (!pid) return undefined;
  return { pid: Math.abs(Number(pid)), port: Number(port), socketDir: socketDir ?? "" };
}

/** The pid of the process that wants a server to run, if it can be had. */
async function askOwner({
  socketDir,
  port,
}: Lock): Promise<number | "busy" | "silent" | "unknown"> {
  try {
    const [row] = await withConnection(
      { socketDir, port, database: "postgres" },
      (sql) =>
        sql<{ owner: string | null }[]>`select current_setting('loom.owner_pid', true) as owner`,
    );
    return row?.owner ? Number(row.owner) : "unknown";
  } catch (error) {
    const { code } = error as { code?: string };
    // SQLSTATE cannot_connect_now, admin_shutdown; or the connection closed under the question.
    if (code === "57P03" || code === "57P01" || code === "CONNECTION_CLOSED") return "busy";
    return code === "ECONNREFUSED" || code === "ENOENT" ? "silent" : "unknown";
  }
}
