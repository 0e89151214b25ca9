// The reason of an aborted step is one of these: what aborts a step says so by the
// class, and classify.ts reads nothing else.

/** The step did not end in time. */
export class StepTimeoutError extends Error {
  override readonly name = "StepTimeoutError";
  readonly code = "STEP_TIMEOUT";
  readonly timeoutMs: number;
  constructor(timeoutMs: number) {
    super(`the step did not end within its timeout of ${timeoutMs} ms`);
    this.timeoutMs = timeoutMs;
  }
}

/** The step ended, but what it returned cannot be kept. */
export class InvalidResultError extends Error {
  override readonly name = "InvalidResultError";
  readonly code = "INVALID_RESULT";
}

/** The job went to somebody else, or may have: nothing this attempt writes counts any more. */
export class LeaseLostError extends Error {
  override readonly name = "LeaseLostError";
  readonly code = "LEASE_LOST";
  readonly jobId: number;
  constructor(jobId: number, reason: string) {
    super(`lease on job ${jobId} was lost: ${reason}; another node may be running it`);
    this.jobId = jobId;
  }
}

/** The worker is stopping; the job is given back. */
export class ShutdownError extends Error {
  override readonly name = "ShutdownError";
  readonly code = "SHUTDOWN";
  constructor() {
    super("the worker is stopping");
  }
}

/** Somebody asked to cancel the job. */
export class CancelledError extends Error {
  override readonly name = "CancelledError";
  readonly code = "CANCELLED";
  constructor() {
    super("the job was cancelled");
  }
}

/** The step's process ended before the step did: it exited, crashed or was killed. */
export class StepProcessError extends Error {
  override readonly name = "StepProcessError";
  readonly code = "STEP_PROCESS_ENDED";
  readonly exitCode: number | null;
  readonly signal: string | null;
  constructor({ exitCode, signal }: { exitCode: number | null; signal: string | null }) {
    const how = signal === null ? `ended with exit code ${exitCode}` : `was ended by ${signal}`;
    super(`the step's process ${how} before the step did; its log may say why`);
    this.exitCode = exitCode;
    this.signal = signal;
  }
}

/** The step's process used more memory than it may. */
export class StepMemoryError extends Error {
  override readonly name = "StepMemoryError";
  readonly code = "STEP_OUT_OF_MEMORY";
  readonly memoryMb: number;
  constructor(memoryMb: number) {
    super(`the step's process used more than its limit of ${memoryMb} MiB of memory`);
    this.memoryMb = memoryMb;
  }
}

/** A command that a step ran did not end with exit code 0. */
export class CommandFailedError extends Error {
  override readonly name = "CommandFailedError";
  readonly code = "COMMAND_FAILED";
  readonly exitCode: number | null;
  readonly signal: string | null;
  constructor(
    program: string,
    {
      exitCode,
      signal,
      evidence,
    }: { exitCode: number | null; signal: string | null; evidence: string },
  ) {
    const how = signal === null ? `ended with exit code ${exitCode}` : `was ended by ${signal}`;
    super(`${program} ${how}${evidence && `: ${evidence}`}`);
    this.exitCode = exitCode;
    this.signal = signal;
  }
}

/** A command that a step wants to run cannot be started. */
export class CommandNotStartedError extends Error {
  override readonly name = "CommandNotStartedError";
  readonly code = "COMMAND_NOT_STARTED";
  constructor(program: string, cause: unknown) {
    super(
      `${program} cannot be started (${cause instanceof Error ? cause.message : String(cause)}): is it installed, and is its folder in PATH?`,
      { cause },
    );
  }
}

/** What has to outlive the agent cannot be written to its journal. */
export class JournalError extends Error {
  override readonly name = "JournalError";
  readonly code = "JOURNAL_UNWRITABLE";
  readonly folder: string;
  constructor(folder: string, cause: unknown) {
    super(
      `the journal in ${folder} cannot be written (${cause instanceof Error ? cause.message : String(cause)}): free disk space, or give the agent a folder that it may write to`,
      { cause },
    );
    this.folder = folder;
  }
}

/** Another agent with this node's name has started since; this one must not go on. */
export class SupersededError extends Error {
  override readonly name = "SupersededError";
  readonly code = "SUPERSEDED";
  readonly node: string;
  constructor(node: string) {
    super(
      `another agent started as ${node} and took over; if these are two machines, give one another name (LOOM_NODE_NAME)`,
    );
    this.node = node;
  }
}
