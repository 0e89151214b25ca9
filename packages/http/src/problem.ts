import { problemSchema } from "@loom/client/schemas";
import {
  JobNotFoundError,
  NodeNotFoundError,
  QueueAccessError,
  QueueRequestError,
  QueueSchemaError,
  QueueUnavailableError,
  RunNotFoundError,
} from "@loom/queue";
import { ConditionError, PlanError } from "@loom/scheduler";
import { type Log, PlannerBusyError, WorkflowCodeError } from "@loom/worker";
import { InvalidInputError } from "@loom/workflow";
import type { Context } from "hono";
import { HTTPException } from "hono/http-exception";
import {
  describeProblem,
  type ProblemCode,
  type ProblemDetails,
  type ProblemFacts,
  titleOf,
} from "./problem-table.ts";

/** Thrown to answer a request with a problem. */
export class ProblemError extends Error {
  override readonly name = "ProblemError";
  readonly problem: ProblemDetails;
  readonly headers: Readonly<Record<string, string>>;
  constructor(problem: ProblemDetails, headers: Readonly<Record<string, string>> = {}) {
    super(problem.detail);
    this.problem = problem;
    this.headers = headers;
  }
}

/** The error that answers a request with the problem of this code. */
export const problem = <Code extends ProblemCode>(
  code: Code,
  ...facts: ProblemFacts<Code>
): ProblemError => new ProblemError(describeProblem(code, ...facts));

const DESCRIPTIONS = {
  400: "The request is malformed",
  401: "The credential is missing or invalid",
  403: "The credential lacks a scope, or the request comes from another site",
  404: "Not found",
  409: "Not possible in the current state",
  413: "The body is too large",
  415: "The body is not declared as JSON",
  416: "The range begins beyond the end",
  421: "The hub does not have the requested host name; see LOOM_HOSTS",
  422: "The request is well-formed but invalid",
  429: "Too many requests; wait as Retry-After says",
  502: "The hub's bucket refuses the hub, or the file",
  503: "The database did not answer; wait as Retry-After says",
  507: "The hub's store has no room: `STORE_FULL`",
} as const;
export type ProblemStatus = keyof typeof DESCRIPTIONS;

/** A problem in a route's description. */
export interface ProblemResponse {
  description: string;
  content: { "application/problem+json": { schema: typeof problemSchema } };
}

/** The problems in a route's description. */
export const problems = <const Status extends ProblemStatus>(
  ...statuses: readonly Status[]
): Record<Status, ProblemResponse> =>
  Object.fromEntries(
    statuses.map((status) => [
      status,
      {
        description: DESCRIPTIONS[status] as string,
        content: { "application/problem+json": { schema: problemSchema } },
      },
    ]),
  ) as Record<Status, ProblemResponse>;

/** Statuses of what the queue refuses; for every other code, 422. */
const REFUSED_BY_QUEUE: Readonly<Record<string, number>> = {
  INPUT_TOO_LARGE: 413,
  RUN_NOT_FINISHED: 409,
  NOTHING_TO_RETRY: 409,
  TOKEN_NAME_TAKEN: 409,
  SCHEDULE_REMOVED: 409,
  JOIN_TOKEN_REFUSED: 403,
  JOIN_TOKEN_WRONG_NODE: 403,
  NODE_NAME_IN_USE: 409,
  NODE_KEY_USED: 409,
  NODE_BUSY: 409,
  HOOK_NAME_TAKEN: 409,
  TOO_MANY_HOOKS: 409,
  HOOK_BACKLOG_FULL: 409,
  DELIVERY_PENDING: 409,
  SIGNALS_FULL: 409,
  APPROVAL_NOT_YOURS: 403,
  APPROVAL_DECIDED: 409,
  APPROVAL_OVER: 409,
  APPROVAL_CHANGED: 409,
  FILE_TOO_LARGE: 413,
  FILES_NEED_A_RUN: 409,
  JOB_NOT_HELD: 409,
  TOO_MANY_FILES: 409,
  TOO_MANY_UPLOADS: 409,
  UPLOAD_NOT_FOUND: 404,
};

/** The problem for an error. An unknown error is a fault of the hub, and its message stays in the hub's log. */
export function toProblem(error: unknown): ProblemDetails {
  if (error instanceof ProblemError) return error.problem;
  if (error instanceof QueueRequestError) {
    const { code, reason: detail, hint = "correct the value that this message names" } = error;
    return { title: titleOf(code), status: REFUSED_BY_QUEUE[code] ?? 422, code, detail, hint };
  }
  if (error instanceof HTTPException) {
    // Hono refuses a body before a handler runs.
    if (error.status === 400) return describeProblem("MALFORMED_REQUEST", "json");
    if (error.status === 413) return describeProblem("BODY_TOO_LARGE");
    if (error.status === 415) return describeProblem("UNSUPPORTED_MEDIA_TYPE");
  }
  if (error instanceof RunNotFoundError) return describeProblem("RUN_NOT_FOUND", error.runId);
  if (error instanceof JobNotFoundError) return describeProblem("JOB_NOT_FOUND", error.jobId);
  if (error instanceof NodeNotFoundError) return describeProblem("NODE_NOT_FOUND", error.node);
  if (error instanceof InvalidInputError) return describeProblem("INVALID_INPUT", error.issues);
  if (error instanceof ConditionError) return describeProblem("PLAN_FAILED", error.message);
  if (error instanceof PlanError) return describeProblem("PLAN_FAILED", error.message);
  if (error instanceof PlannerBusyError) return describeProblem("PLANNER_BUSY", error.message);
  if (error instanceof WorkflowCodeError) {
    return describeProblem(error.code, error.message, error.function);
  }
  if (error instanceof QueueUnavailableError) {
    return describeProblem("QUEUE_UNAVAILABLE", error.advice);
  }
  if (error instanceof QueueSchemaError) return describeProblem("QUEUE_SCHEMA");
  if (error instanceof QueueAccessError) return describeProblem("QUEUE_ACCESS");
  return describeProblem("INTERNAL");
}

/** Headers of every answer of the API: nobody caches it, and nobody guesses its type. */
export const PRIVATE = {
  "cache-control": "no-store",
  "x-content-type-options": "nosniff",
} as const;

/** A problem as an HTTP answer. */
export function toAnswer(problem: ProblemDetails) {
  const { status, code } = problem;
  const type = `urn:loom:problem:${code.toLowerCase().replaceAll("_", "-")}`;
  return {
    body: JSON.stringify({ type, ...problem }),
    status,
    headers: {
      "content-type": "application/problem+json",
      ...PRIVATE,
      ...(status === 401 && { "www-authenticate": 'Bearer realm="loom"' }),
      ...(status === 503 && { "retry-after": "2" }),
    },
  };
}

/** Answers a request with a problem document. */
export function respondProblem(
  c: Context,
  problem: ProblemDetails,
  headers: Readonly<Record<string, string>> = {},
): Response {
  const answer = toAnswer(problem);
  return c.body(answer.body, problem.status as 500, { ...answer.headers, ...headers });
}

/** The handler of every request that failed. */
export const onError =
  (log: Pick<Log, "error">) =>
  (error: Error, c: Context): Response => {
    const problem = toProblem(error);
    if (problem.status >= 500) {
      const { method, path } = c.req;
      log.error({ err: error, method, path, requestId: c.get("requestId") }, "request failed");
    }
    return respondProblem(c, problem, error instanceof ProblemError ? error.headers : {});
  };
