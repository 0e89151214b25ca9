import type { Account } from "./account.ts";
import { PORT, withConnection } from "./connect.ts";
import { ProcessStartError } from "./errors.ts";
import type { PostgresBinaries } from "./postgres-binaries.ts";
import { type ChildProcessHandle, startProcess } from "./start-process.ts";
import { untilReady } from "./until-ready.ts";

/** Replaying the log after a crash comes first, and a slow disk may take its time. */
const READY_TIMEOUT_MS = 120_000;

const SETTINGS = {
  listen_addresses: "",
  timezone: "UTC",
  // A small machine: no processes that only wait, no compiler, no log kept for replicas.
  io_method: "sync",
  jit: "off",
  max_parallel_workers_per_gather: "0",
  wal_level: "minimal",
  max_wal_senders: "0",
  max_wal_size: "256MB",
  // The log is read when Postgres ends: its own troubles only, not every refused statement.
  log_min_messages: "log",
  log_checkpoints: "off",
  lc_messages: "C",
  // %e: the SQLSTATE.
  log_line_prefix: "%m [%p] %e ",
};

/** Keeps what it has committed, whatever happens. */
export const DURABLE = { max_connections: "100" };

/**
 * Never waits for the disk: what is committed survives a crash of Postgres, not one of the machine.
 * (`synchronous_commit` off would be quicker still, and would lose it in a crash of Postgres too.)
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
    ...SETTINGS,
    ...options.settings,
    unix_socket_directories: socketDir,
    port: String(PORT),
    // Tells the next start on this folder whether anybody still wants this server.
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
 * Makes a new cluster in `data`, an empty or missing folder.
 *
 * @throws ProcessStartError with initdb's own words.
 */
export async function initCluster(options: {
  binaries: PostgresBinaries;
  account: Account | undefined;
  data: string;
  /** False: does not wait for the disk. */
  isDurable: boolean;
}): Promise<void> {
  const { binaries, account, data, isDurable } = options;
  const initdb = await startProcess(
    binaries.initdb,
    [
      `--pgdata=${data}`,
      "--username=postgres",
      // Whoever may enter the socket's directory, mode 0700, is trusted.
      "--auth=trust",
      "--encoding=UTF8",
      "--no-locale",
      "--locale-provider=builtin",
      "--builtin-locale=C.UTF-8",
      ...(isDurable ? [] : ["--no-sync", "--no-data-checksums"]),
    ],
    { ...surroundings(account), stopSignal: "SIGTERM" },
  );
  const { name, code, log } = await initdb.exited;
  if (code !== 0) throw new ProcessStartError(name, log);
}

/** Nothing of this process': a variable such as PGPORT or PGTZ would change the server. */
const surroundings = (account: Account | undefined) => ({
  uid: account?.uid,
  gid: account?.gid,
  cwd: "/",
  env: {},
});
