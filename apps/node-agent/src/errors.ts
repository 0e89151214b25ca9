/** The command was written wrongly. */
export class UsageError extends Error {
  override readonly name = "UsageError";
  readonly code = "USAGE";
}

/** No agent runs here that could do what was asked. */
export class NoAgentError extends Error {
  override readonly name = "NoAgentError";
  readonly code = "NO_AGENT";
}

/** The agent answered that it could not do what was asked; `code` says why. */
export class RefusedError extends Error {
  override readonly name = "RefusedError";
  readonly code: string;
  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** This machine did not join; `code` says why. */
export class JoinError extends Error {
  override readonly name = "JoinError";
  readonly code: string;
  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** The machine is not in a state for this: something is missing, or is there already. */
export class PreconditionError extends Error {
  override readonly name = "PreconditionError";
  readonly code = "PRECONDITION";
}

/** This agent did not take another one; `code` says why. */
export class UpgradeError extends Error {
  override readonly name = "UpgradeError";
  readonly code: string;
  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
