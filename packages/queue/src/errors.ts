/**
 * Nothing answered, or the answer was lost. The call may have happened: repeat it.
 *
 * `reason` tells a network failure, our own time limit, and a server that is up but
 * cannot serve now (PostgREST without its database, a lock that was not given) apart.
 */
export class QueueUnavailableError extends Error {
  override readonly name = "QueueUnavailableError";
  readonly code = "QUEUE_UNAVAILABLE";
  readonly operation: string;
  readonly reason: "network" | "timeout" | "server";
  constructor(
    operation: string,
    reason: QueueUnavailableError["reason"],
    detail: string,
    options?: ErrorOptions,
  ) {
    super(`${operation}: the database's API did not answer (${reason}): ${detail}`, options);
    this.operation = operation;
    this.reason = reason;
  }
}

/** The key is wrong, expired, or may not call this function. */
export class QueueAccessError extends Error {
  override readonly name = "QueueAccessError";
  readonly code = "QUEUE_ACCESS";
  readonly operation: string;
  constructor(operation: string, detail: string) {
    super(`${operation}: the database refused the key: ${detail}`);
    this.operation = operation;
  }
}

/** The database does not have Loom's functions, or has another version of them. */
export class QueueSchemaError extends Error {
  override readonly name = "QueueSchemaError";
  readonly code = "QUEUE_SCHEMA";
  readonly operation: string;
  constructor(operation: string, detail: string) {
    super(
      `${operation}: the database and this program do not fit: ${detail}. Apply the migrations (loom-hub migrate) and use one version of Loom.`,
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
   * `SCHEDULE_REMOVED`.
   */
  readonly code: string;
  readonly operation: string;
  /** Why, for people, without the operation and the hint that the message has. */
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
    super(`no agent has ever said hello as ${node}`);
    this.node = node;
  }
}
