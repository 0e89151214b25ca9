import {
  JobNotFoundError,
  NodeNotFoundError,
  QueueAccessError,
  QueueRequestError,
  QueueSchemaError,
  QueueUnavailableError,
  RunNotFoundError,
} from "@loom/queue";
import { PlanError } from "@loom/scheduler";
import type { Log } from "@loom/worker";
import { InvalidInputError } from "@loom/workflow";
import type { Context } from "hono";
import { HTTPException } from "hono/http-exception";
import { UnknownWorkflowError } from "./errors.ts";
import { type Problem, ProblemError, respondProblem } from "./problem.ts";

// What Hono refuses with; its sentence is the detail.
const REFUSALS: Readonly<Record<number, Pick<Problem, "title" | "code" | "hint">>> = {
  400: {
    title: "Malformed request",
    code: "MALFORMED_REQUEST",
    hint: "send a body of JSON, or neither a body nor a content-type",
  },
  413: { title: "Body too large", code: "BODY_TOO_LARGE" },
  415: {
    title: "Unsupported media type",
    code: "UNSUPPORTED_MEDIA_TYPE",
    hint: "send content-type: application/json, or no body",
  },
};

// What the database refuses otherwise than as nonsense.
const QUEUE_STATUS: Readonly<Record<string, number>> = {
  INPUT_TOO_LARGE: 413,
  RUN_NOT_FINISHED: 409,
  NOTHING_TO_RETRY: 409,
  TOKEN_NAME_TAKEN: 409,
  SCHEDULE_REMOVED: 409,
};

/** What each error becomes. What is not listed is a fault of the hub, and says nothing of its inside. */
export function toProblem(error: unknown): Problem {
  if (error instanceof ProblemError) return error.problem;
  if (error instanceof UnknownWorkflowError) {
    const { code, message: detail, suggestions, known } = error;
    const hint =
      known.length > 0 ? `known workflows: ${known.join(", ")}` : "this hub has no workflows";
    return { title: "Unknown workflow", status: 404, code, detail, hint, suggestions };
  }
  if (error instanceof RunNotFoundError) {
    const hint = "GET /api/loom/runs lists those that are kept, which is 30 days from their end";
    return { title: "Run not found", status: 404, code: error.code, detail: error.message, hint };
  }
  if (error instanceof NodeNotFoundError) {
    const hint = "GET /api/loom/nodes lists those that are known";
    return { title: "Node not found", status: 404, code: error.code, detail: error.message, hint };
  }
  if (error instanceof JobNotFoundError) {
    const hint = "GET /api/loom/jobs lists those that are kept, which is 30 days from their end";
    return { title: "Job not found", status: 404, code: error.code, detail: error.message, hint };
  }
  if (error instanceof InvalidInputError) {
    const errors = error.issues.map(({ path, message }) => ({
      path: path ? `input.${path}` : "input",
      message,
    }));
    const detail = "the input does not fit the workflow";
    const hint = "GET /api/loom/strands/{workflow} has the schema of its input";
    return { title: "Invalid input", status: 422, code: error.code, detail, hint, errors };
  }
  if (error instanceof PlanError) {
    return { title: "Not plannable", status: 422, code: error.code, detail: error.message };
  }
  if (error instanceof QueueRequestError) {
    const { code, reason: detail, hint } = error;
    const status = QUEUE_STATUS[code] ?? 422;
    return { title: "Refused by the queue", status, code, detail, ...(hint && { hint }) };
  }
  if (error instanceof QueueUnavailableError) {
    return {
      title: "Database unavailable",
      status: 503,
      code: error.code,
      detail: "the database's API did not answer, so the request may or may not have taken effect",
      hint: "try again; a request with an Idempotency-Key is done once, however often you ask",
    };
  }
  if (error instanceof QueueSchemaError || error instanceof QueueAccessError) {
    return { title: "Database not usable", status: 503, code: error.code, detail: error.message };
  }
  const refusal = error instanceof HTTPException && REFUSALS[error.status];
  if (refusal) return { ...refusal, status: error.status, detail: error.message };
  return {
    title: "Internal error",
    status: 500,
    code: "INTERNAL",
    detail: "the hub failed; its log has more under this answer's x-request-id",
  };
}

/** The last handler of every request that failed. */
export const onError =
  (log: Log) =>
  (error: Error, c: Context): Response => {
    const problem = toProblem(error);
    if (problem.status >= 500) {
      const { method, path } = c.req;
      log.error({ err: error, method, path, requestId: c.get("requestId") }, "request failed");
    }
    return respondProblem(c, problem, error instanceof ProblemError ? error.headers : {});
  };
