import { type Duration, parseDuration } from "./duration.ts";
import { limits } from "./limits.ts";

/** A definition cannot work. Thrown while the file that defines the workflow is imported. */
export class WorkflowDefinitionError extends Error {
  override readonly name = "WorkflowDefinitionError";
  readonly code = "WORKFLOW_DEFINITION";
  /** `null` if no workflow is known yet, as in `cron()`. */
  readonly workflow: string | null;
  readonly step: string | null;
  constructor(
    problem: string,
    { workflow = null, step = null, ...options }: DefinitionPlace & ErrorOptions = {},
  ) {
    const place = [workflow && `workflow ${workflow}`, step && `step ${step}`].filter(Boolean);
    super(place.length > 0 ? `${place.join(", ")}: ${problem}` : problem, options);
    this.workflow = workflow;
    this.step = step;
  }
}

/** The place of a fault in a definition. */
interface DefinitionPlace {
  readonly workflow?: string | null;
  readonly step?: string | null;
}

/** One place where an input does not fit: `path` as in `servers[0].url`, empty for the whole input. */
export interface InputIssue {
  readonly path: string;
  readonly message: string;
}

/** The input of a run does not fit the workflow's schema. */
export class InvalidInputError extends Error {
  override readonly name = "InvalidInputError";
  readonly code = "INVALID_INPUT";
  readonly workflow: string;
  readonly issues: readonly InputIssue[];
  constructor(workflow: string, issues: readonly InputIssue[], options?: ErrorOptions) {
    const list = issues.map(({ path, message }) => (path === "" ? message : `${path}: ${message}`));
    super(`the input does not fit workflow ${workflow}: ${list.join("; ")}`, options);
    this.workflow = workflow;
    this.issues = issues;
  }
}

/** Thrown by a step whose next attempt would fail the same way: the job fails at once. */
export class NonRetryableError extends Error {
  override readonly name = "NonRetryableError";
  readonly code = "NON_RETRYABLE";
}

/**
 * Thrown by a step that knows when its next attempt can work, for example from a `Retry-After`
 * header. It replaces the delay of the backoff; it does not add an attempt.
 *
 * @throws InvalidDurationError when `after` is not a duration, RangeError when it is more than a year.
 */
export class RetryAfterError extends Error {
  override readonly name = "RetryAfterError";
  readonly code = "RETRY_AFTER";
  readonly afterMs: number;
  constructor({
    after,
    message = `try again in ${after}`,
    ...options
  }: { after: Duration; message?: string } & ErrorOptions) {
    super(message, options);
    this.afterMs = parseDuration(after);
    if (this.afterMs > limits.delayMs) {
      throw new RangeError(`after must be at most "365d", not ${JSON.stringify(after)}`);
    }
  }
}
