import { ProcessStartError } from "../errors.ts";
import type { Account } from "../process/account.ts";
import { type ChildProcessHandle, startProcess, untilReady } from "../process/start-process.ts";
import type { PostgresBinaries } from "./binaries.ts";
import { PORT, withConnection } from "./connect.ts";

/** Postgres first replays its log after a crash, which can take long on a slow disk. */
const READY_TIMEOUT_MS = 120_000;

const SETTINGS = {
  listen_addresses: "",
  timezone: "UTC",
  // Settings for a small machine: no idle helper processes (see settingsOf), no JIT compiler, no log
  // for replicas.
  jit: "off",
  max_parallel_workers_per_gather: "0",
  wal_level: "minimal",
  max_wal_senders: "0",
  max_wal_size: "256MB",
  // The log is reported when Postgres ends, so it holds the server's own faults and not every
  // refused statement.
  log_min_messages: "log",
  log_checkpoints: "off",
  lc_messages: "C",
  // %e: the SQLSTATE.
  log_line_prefix: "%m [%p] %e ",
};

/** The settings for a version of Postgres: 18 has helper processes for reading and writing files. */
const settingsOf = (majorVersion: number) =>
  majorVersion < 18 ? SETTINGS : { ...SETTINGS, io_method: "sync" };

/** Keeps everything that was committed, even after a power failure. */
export const DURABLE = { max_connections: "100" };

/**
 * Never waits for the disk: committed data survives a crash of Postgres, but not one of the
 * machine. (`synchronous_commit = off` would be faster still, but would lose data in a crash of
 * Postgres too.)
 */
export const THROWAWAY = { max_connections: "300", fsync: "off", full_page_writes: "off" };

export interface PostgresOptions {
  readonly binaries: PostgresBinaries;
  readonly account: Account | undefined;
  /** The cluster's folder, made by initdb. */
  readonly data: string;
  readonly socketDir: string;
  readonly settings: Readonly<Record<string, string>>;
}

/**
 * Starts Postgres on a unix socket and waits until it answers.
 *
 * @throws ProcessStartError with the end of its log.
 */
export async function startPostgres(options: PostgresOptions): Promise<ChildProcessHandle> {
  const { binaries, account, data, socketDir } = options;
  const settings = {
    ...settingsOf(binaries.majorVersion),
    ...options.settings,
    unix_socket_directories: socketDir,
    port: String(PORT),
    // The next start on this folder reads it, to find out whether the owner of this server still
    // lives.
    "loom.owner_pid": String(process.pid),
  };
  const server = await startProcess(
    binaries.postgres,
    ["-D", data, ...Object.entries(settings).flatMap(([key, value]) => ["-c", `${key}=${value}`])],
    // SIGINT: ends its sessions and stops in order. SIGTERM would wait for them.
    { ...surroundings(account), stopSignal: "SIGINT" },
  );
  const isReady = () =>
    withConnection({ socketDir, database: "postgres" }, (sql) => sql`select 1`).then(
      () => true,
      () => false,
    );
  await untilReady(server, { isReady, timeoutMs: READY_TIMEOUT_MS });
  return server;
}

/**
 * Creates a new cluster in `data`, an empty or missing folder.
 *
 * @throws ProcessStartError with the output of initdb.
 */
export async function initCluster(options: {
  binaries: PostgresBinaries;
  account: Account | undefined;
  data: string;
  /** False: does not wait until the files are on disk. */
  isDurable: boolean;
}): Promise<void> {
  const { binaries, account, data, isDurable } = options;
  const initdb = await startProcess(
    binaries.initdb,
    [
      `--pgdata=${data}`,
      "--username=postgres",
      // Every user who can enter the socket's directory (mode 0700) is trusted.
      "--auth=trust",
      "--encoding=UTF8",
      // The same order of texts in all versions. Before 17, only the C library has this locale.
      ...(binaries.majorVersion < 17
        ? ["--locale=C.UTF-8"]
        : ["--no-locale", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]),
      ...(isDurable ? [] : ["--no-sync"]),
      // Since 18, checksums are written unless one asks for none.
      ...(isDurable || binaries.majorVersion < 18 ? [] : ["--no-data-checksums"]),
    ],
    { ...surroundings(account), stopSignal: "SIGTERM" },
  );
  const { name, code, log } = await initdb.exited;
  if (code !== 0) throw new ProcessStartError(name, log);
}

/**
 * The process's own environment is left out: a variable such as PGPORT or PGTZ would change the
 * server.
 */
const surroundings = (account: Account | undefined) => ({
  uid: account?.uid,
  gid: account?.gid,
  cwd: "/",
  env: {},
});
