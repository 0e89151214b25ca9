import { z } from "@hono/zod-openapi";
import {
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

/** An RFC 9457 problem document. `code` is stable; `detail` is for people. */
const problemSchema = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    code: z.string(),
    detail: z.string(),
    hint: z.string().optional(),
    errors: z.array(z.object({ path: z.string(), message: z.string() })).optional(),
    suggestions: z.array(z.string()).optional(),
  })
  .openapi("Problem");

/** A problem document without what follows from its code. */
export type Problem = Omit<z.output<typeof problemSchema>, "type">;

/** What a route's description says of every answer but the good ones. */
export const problemResponse = {
  default: {
    description: "A problem; `code` tells which",
    content: { "application/problem+json": { schema: problemSchema } },
  },
} as const;

/** A problem as an HTTP answer. */
export function toAnswer(problem: Problem) {
  const { status, code } = problem;
  const type = `urn:loom:problem:${code.toLowerCase().replaceAll("_", "-")}`;
  return {
    body: JSON.stringify({ type, ...problem }),
    status,
    headers: {
      "content-type": "application/problem+json",
      ...(status === 401 && { "www-authenticate": 'Bearer realm="loom"' }),
      ...(status === 503 && { "retry-after": "2" }),
    },
  };
}

/** Answers a request with a problem document. */
export function respondProblem(
  c: Context,
  problem: Problem,
  headers: Record<string, string> = {},
): Response {
  const answer = toAnswer(problem);
  return c.body(answer.body, problem.status as 500, { ...answer.headers, ...headers });
}

// What Hono and our own middleware refuse with; their sentence is the detail.
const REFUSALS: Readonly<Record<number, Pick<Problem, "title" | "code" | "hint">>> = {
  400: { title: "Malformed request", code: "MALFORMED_REQUEST" },
  401: { title: "Unauthorized", code: "UNAUTHORIZED" },
  403: { title: "Forbidden", code: "FORBIDDEN" },
  413: { title: "Body too large", code: "BODY_TOO_LARGE" },
  415: {
    title: "Unsupported media type",
    code: "UNSUPPORTED_MEDIA_TYPE",
    hint: "send content-type: application/json, or no body",
  },
};

/** What each error becomes. What is not listed is a fault of the hub, and says nothing of its inside. */
export function toProblem(error: unknown): Problem {
  if (error instanceof UnknownWorkflowError) {
    const { code, message: detail, suggestions, known } = error;
    const hint =
      known.length > 0 ? `known workflows: ${known.join(", ")}` : "this hub has no workflows";
    return { title: "Unknown workflow", status: 404, code, detail, hint, suggestions };
  }
  if (error instanceof RunNotFoundError) {
    return { title: "Run not found", status: 404, code: error.code, detail: error.message };
  }
  if (error instanceof NodeNotFoundError) {
    const hint = "GET /api/loom/nodes lists those that are known";
    return { title: "Node not found", status: 404, code: error.code, detail: error.message, hint };
  }
  if (error instanceof InvalidInputError) {
    const errors = error.issues.map(({ path, message }) => ({
      path: path ? `input.${path}` : "input",
      message,
    }));
    const detail = "the input does not fit the workflow";
    return { title: "Invalid input", status: 422, code: error.code, detail, errors };
  }
  if (error instanceof PlanError) {
    return { title: "Not plannable", status: 422, code: error.code, detail: error.message };
  }
  if (error instanceof QueueRequestError) {
    const { code, message: detail } = error;
    const status = code === "INPUT_TOO_LARGE" ? 413 : 422;
    return { title: "Refused by the queue", status, code, detail };
  }
  if (error instanceof QueueUnavailableError) {
    return {
      title: "Database unavailable",
      status: 503,
      code: error.code,
      detail: "the database's API did not answer, so the request may or may not have taken effect",
      hint: "try again; a run that is started with a key is started once, however often you ask",
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
    return respondProblem(c, problem);
  };
