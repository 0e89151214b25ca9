/**
 * This machine cannot run the bundled Postgres or PostgREST. The message says what to do instead.
 */
export class PlatformError extends Error {
  override readonly name = "PlatformError";
  readonly code = "PLATFORM";
  /** For example `win32-x64`. */
  readonly platform = `${process.platform}-${process.arch}`;
}

/** Another live process uses the data folder. */
export class DataDirInUseError extends Error {
  override readonly name = "DataDirInUseError";
  readonly code = "DATA_DIR_IN_USE";
  readonly dataDir: string;
  /** The process to stop: the one that started Postgres or, if that is unknown, Postgres itself. */
  readonly pid: number;
  constructor(dataDir: string, pid: number) {
    super(
      `${dataDir} is in use by process ${pid}. Stop it (kill ${pid}), or choose another folder with LOOM_DATA_DIR.`,
    );
    this.dataDir = dataDir;
    this.pid = pid;
  }
}

/** The user that Postgres runs as cannot use the data folder. */
export class DataDirUnreachableError extends Error {
  override readonly name = "DataDirUnreachableError";
  readonly code = "DATA_DIR_UNREACHABLE";
  readonly dataDir: string;
  constructor(dataDir: string, reason: string, options?: ErrorOptions) {
    super(
      `Postgres cannot keep its data in ${dataDir}: ${reason}. Choose another folder with LOOM_DATA_DIR.`,
      options,
    );
    this.dataDir = dataDir;
  }
}

/** Another major version of Postgres created the data folder. */
export class DataDirVersionError extends Error {
  override readonly name = "DataDirVersionError";
  readonly code = "DATA_DIR_VERSION";
  readonly dataDir: string;
  readonly found: number;
  readonly expected: number;
  constructor(dataDir: string, versions: { found: number; expected: number }) {
    super(
      `${dataDir} was created by Postgres ${versions.found}, but this is Postgres ${versions.expected}. ` +
        "Use the version of Loom that created it, or choose another folder with LOOM_DATA_DIR.",
    );
    this.dataDir = dataDir;
    this.found = versions.found;
    this.expected = versions.expected;
  }
}

/** A part ended during its start, or was not ready in time. */
export class ProcessStartError extends Error {
  override readonly name = "ProcessStartError";
  readonly code = "PROCESS_START";
  readonly part: string;
  /** The last lines of its output. */
  readonly log: string;
  constructor(part: string, log: string) {
    super(`${part} did not start. Its last lines:\n${log || "(none)"}`);
    this.part = part;
    this.log = log;
  }
}

/** Postgres refused the schema; `cause` is its own error. */
export class SchemaError extends Error {
  override readonly name = "SchemaError";
  readonly code = "SCHEMA";
  /** The line of the script, from 1, if Postgres reports one. */
  readonly line: number | undefined;
  constructor(message: string, options: { line: number | undefined; cause: unknown }) {
    super(`the schema${options.line ? `, line ${options.line}` : ""}: ${message}`, options);
    this.line = options.line;
  }
}
