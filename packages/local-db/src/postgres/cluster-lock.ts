// Postgres ensures that one server runs on a cluster's folder: the server writes its pid to
// postmaster.pid. This file decides what to do when that file exists at the start:
//
//   its server answers, and its owner process lives      the folder is in use: refuse
//   its server answers, and its owner process is gone    end the server
//   its server is starting or stopping                   wait until another row applies
//   no process has that pid                              Postgres replaces the file itself
//   another program has that pid                         remove the file
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Sql } from "postgres";
import { DataDirInUseError } from "../errors.ts";
import { isRunning, signalProcess } from "../process/process-group.ts";
import { connect, withConnection } from "./connect.ts";

const POLL_MS = 25;
/** A server may be replaying its log, or writing it to disk. */
const BUSY_TIMEOUT_MS = 60_000;
/** A server opens its socket just after it has written the file. */
const SILENT_TIMEOUT_MS = 2_000;

interface Lock {
  readonly pid: number;
  readonly port: number;
  readonly socketDir: string;
}

/**
 * Waits until a server can be started on a cluster.
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

/** Returns the pid in a cluster's lock file, for a process that just failed to get the lock. */
export async function lockHolder(data: string): Promise<number> {
  return (await readLock(data))?.pid ?? 0;
}

/**
 * Connects to the server of another process that runs on a data folder.
 *
 * @returns Undefined when none runs.
 */
export async function connectToRunning(dataDir: string): Promise<Sql | undefined> {
  const lock = await readLock(join(dataDir, "postgres"));
  if (!lock || !isRunning(lock.pid)) return undefined;
  const { socketDir, port } = lock;
  return connect({ socketDir, port, database: "postgres", max: 1 });
}

/** postmaster.pid has these lines: pid, data folder, start time, port, socket directory, ... */
async function readLock(data: string): Promise<Lock | undefined> {
  const text = await readFile(join(data, "postmaster.pid"), "utf8").catch(() => "");
  const [pid, , , port, socketDir] = text.split("\n");
  if (!pid) return undefined;
  return { pid: Math.abs(Number(pid)), port: Number(port), socketDir: socketDir ?? "" };
}

/**
 * Errors of a server that starts or stops: SQLSTATE cannot_connect_now and admin_shutdown, and a connection that ends
 * before the answer.
 */
const GOING = new Set(["57P03", "57P01", "CONNECTION_CLOSED", "ECONNRESET", "EPIPE"]);

/** Asks the server which process owns it. Returns that pid, if the server answers. */
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
    if (code !== undefined && GOING.has(code)) return "busy";
    return code === "ECONNREFUSED" || code === "ENOENT" ? "silent" : "unknown";
  }
}
