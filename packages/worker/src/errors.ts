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
