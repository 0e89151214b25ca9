/**
 * No answer came, or it was lost. The call may have happened: repeat it.
 *
 * `reason` distinguishes a network failure, our own time limit, and a server that is up but cannot
 * serve now (PostgREST without its database, a lock that was not granted).
 */
export class QueueUnavailableError extends Error {
  override readonly name = "QueueUnavailableError";
  readonly code = "QUEUE_UNAVAILABLE";
  readonly operation: string;
  readonly reason: "network" | "timeout" | "server";
  /** What a person has to do, if waiting alone does not help. Frequent retries are useless then. */
  readonly advice: string | undefined;
  constructor(
    operation: string,
    reason: QueueUnavailableError["reason"],
    detail: string,
    { advice, ...options }: ErrorOptions & { advice?: string | undefined } = {},
  ) {
    const what = `${operation}: the database's API did not answer (${reason}): ${detail}`;
    super(advice === undefined ? what : `${what}; ${advice}`, options);
    this.operation = operation;
    this.reason = reason;
    this.advice = advice;
  }
}

/** The key is wrong, expired, or may not call this function. */
export class QueueAccessError extends Error {
  override readonly name = "QueueAccessError";
  readonly code = "QUEUE_ACCESS";
  readonly operation: string;
  /** `NODE_KEY_REFUSED`: the node's own key is unknown, revoked, expired, or another node's. */
  readonly reason: string | undefined;
  constructor(operation: string, detail: string, reason?: string | null) {
    super(`${operation}: the database refused the key: ${detail}`);
    this.operation = operation;
    this.reason = reason ?? undefined;
  }
}

/** The database does not have Loom's functions, or has another version of them. */
export class QueueSchemaError extends Error {
  override readonly name = "QueueSchemaError";
  readonly code = "QUEUE_SCHEMA";
  readonly operation: string;
  constructor(operation: string, detail: string) {
    super(
      `${operation}: the database and this program have different versions: ${detail}. Apply the migrations (loom-hub migrate) and use one version of Loom.`,
    );
    this.operation = operation;
  }
}

/** The database understood the call and refused it, for example an input that is too large. */
export class QueueRequestError extends Error {
  override readonly name = "QueueRequestError";
  /**
   * Stable: `INVALID_ARGUMENT`, `INPUT_TOO_LARGE`, `RUN_NOT_FINISHED`,
   * `NOTHING_TO_RETRY`, `TOKEN_NAME_TAKEN`, `IDEMPOTENCY_KEY_REUSED`, `NOT_EXISTING`,
   * `SCHEDULE_REMOVED`, `JOIN_TOKEN_REFUSED`, `JOIN_TOKEN_WRONG_NODE`, `NODE_NAME_IN_USE`, `NODE_KEY_USED`,
   * `NODE_BUSY`, `HOOK_NAME_TAKEN`, `TOO_MANY_HOOKS`, `HOOK_BACKLOG_FULL`, `DELIVERY_PENDING`,
   * `SIGNALS_FULL`, `APPROVAL_NOT_YOURS`, `APPROVAL_DECIDED`, `APPROVAL_OVER`, `APPROVAL_CHANGED`.
   */
  readonly code: string;
  readonly operation: string;
  /** The reason for people, without the operation and the hint that the message contains. */
  readonly reason: string;
  readonly hint: string | undefined;
  constructor(
    operation: string,
    { code, message, hint }: { code: string; message: string; hint?: string | undefined },
  ) {
    super(`${operation}: ${message}${hint ? ` (${hint})` : ""}`);
    this.code = code;
    this.operation = operation;
    this.reason = message;
    this.hint = hint;
  }
}

export class RunNotFoundError extends Error {
  override readonly name = "RunNotFoundError";
  readonly code = "RUN_NOT_FOUND";
  readonly runId: string;
  constructor(runId: string) {
    super(`there is no run ${runId}`);
    this.runId = runId;
  }
}

export class JobNotFoundError extends Error {
  override readonly name = "JobNotFoundError";
  readonly code = "JOB_NOT_FOUND";
  readonly jobId: number;
  constructor(jobId: number) {
    super(`there is no job ${jobId}`);
    this.jobId = jobId;
  }
}

export class NodeNotFoundError extends Error {
  override readonly name = "NodeNotFoundError";
  readonly code = "NODE_NOT_FOUND";
  readonly node: string;
  constructor(node: string) {
    super(`no agent has ever opened a session as ${node}`);
    this.node = node;
  }
}

/** The machine that holds a node's name. */
export interface NameHolder {
  machine: string | null;
  host: string | null;
  /**
   * Whether its machine id is the caller's, which means that one machine is a copy of the other.
   */
  isCopy: boolean;
  /**
   * Whether it runs on the same kernel: an agent or hub of this machine with another state folder.
   */
  isHere: boolean;
  tailnetAddress: string | null;
  /** The time until the name is free, unless the holder renews its lease. */
  leaseLeftMs: number;
}

/** Another machine holds the node's name, and its lease is valid. */
export class NodeNameInUseError extends Error {
  override readonly name = "NodeNameInUseError";
  readonly code = "NODE_NAME_IN_USE";
  readonly node: string;
  readonly heldBy: NameHolder;
  constructor(node: string, heldBy: NameHolder) {
    const { host, machine, tailnetAddress, isCopy, isHere, leaseLeftMs } = heldBy;
    const facts = [
      ...(tailnetAddress ? [tailnetAddress] : []),
      ...(machine ? [`machine id ${machine}`] : []),
    ].join(", ");
    const what = `the node name ${node} is in use on ${host ?? "another machine"}${facts && ` (${facts})`}`;
    const rename = "give this machine another name (LOOM_NODE_NAME)";
    const inS = `after ${Math.ceil(leaseLeftMs / 1_000)} s`;
    const [why, fix] = isHere
      ? [
          ", by an agent or a hub of this machine that has another state folder",
          `Stop that process (the name is free ${inS}), or ${rename}.`,
        ]
      : isCopy
        ? [
            ", which has the same machine id: one is a copy of the other",
            `Delete machine.json from this machine's state folder and ${rename}.`,
          ]
        : ["", `Stop the agent there (the name is free ${inS}), or ${rename}.`];
    super(`${what}${why}. ${fix}`);
    this.node = node;
    this.heldBy = heldBy;
  }
}

/** An error of Postgres or PostgREST, from either transport. */
export interface SqlError {
  message: string;
  code?: string | undefined;
  details?: string | null | undefined;
  hint?: string | null | undefined;
}

// 42501: insufficient privilege. 28: invalid login. PT403: refused by one of our functions.
const ACCESS = /^(PT403|42501|28...)$/;

// PGRST: the function is missing or ambiguous, or the schema is missing from PostgREST's cache. 42:
// a statement, ours or in one of our functions, that expects another version. 3D, 3F: the database
// or schema does not exist.
const SCHEMA = /^(PGRST20[23]|PGRST106|42...|3[DF]...)$/;

// Errors that pass by themselves. 08: connection exceptions. 25: the server is read-only, as a
// standby or with a full disk. 26: a transaction pooler lost a prepared statement. 40: deadlock or
// serialization failure. 53: no memory, disk or connections. 55: a lock that was not granted. 57:
// statement_timeout and shutdowns. 58, XX: internal faults of the server. P0002: a row was pruned
// between two statements.
const PASSING = /^(08...|25...|26...|40...|53...|55...|57...|58...|XX...|P0002)$/;

// PT4: refused by one of our functions. 21, 22: unreadable data. 23: data that a constraint
// refuses. 54: data that is too large or too deep. P0001: refused by a foreign trigger.
const REQUEST = /^(PT4..|2[123]...|54...|P0001)$/;

/** PostgREST's own codes, and every SQLSTATE. A gateway that speaks JSON has codes of other forms. */
const OF_POSTGREST = /^(PGRST...|[0-9A-Z]{5})$/;

/** Whether PostgREST wrote the error, and not a server in front of it. */
export const isPostgrests = ({ code }: Pick<SqlError, "code">): boolean =>
  code !== undefined && OF_POSTGREST.test(code);

const READ_ONLY_ADVICE =
  "the database is read-only: a project whose disk is full stays so until it has more space or less data";

/**
 * Converts an SQLSTATE to an error for the caller. Undefined when the code says nothing specific.
 */
export function fromSqlState(operation: string, error: SqlError): Error | undefined {
  const { code = "", message, details, hint } = error;
  if (ACCESS.test(code)) {
    const isOurs = code === "PT403";
    const advice = isOurs && hint ? ` (${hint})` : "";
    return new QueueAccessError(operation, message + advice, isOurs ? details : undefined);
  }
  if (SCHEMA.test(code)) return new QueueSchemaError(operation, message);
  if (PASSING.test(code)) {
    return new QueueUnavailableError(operation, "server", `${code}: ${message}`, {
      cause: error,
      advice: code === "25006" ? READ_ONLY_ADVICE : undefined,
    });
  }
  if (code === "PT429") return new QueueUnavailableError(operation, "server", message);
  if (REQUEST.test(code)) {
    const isOurs = code.startsWith("PT4");
    return new QueueRequestError(operation, {
      code: (isOurs && details) || "INVALID_ARGUMENT",
      // For text with a NUL, only the details name the fault.
      message: code === "22P05" && details ? details : message,
      hint: hint ?? undefined,
    });
  }
  return undefined;
}
