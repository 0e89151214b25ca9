import { z } from "@hono/zod-openapi";
import {
  QueueAccessError,
  QueueRequestError,
  QueueSchemaError,
  QueueUnavailableError,
  RunNotFoundError,
} from "@loom/queue";
import type { Log } from "@loom/worker";
import { InvalidInputError } from "@loom/workflow";
import type { Context } from "hono";
import { HTTPException } from "hono/http-exception";
import { UnknownWorkflowError } from "./errors.ts";

/** An RFC 9457 problem document. `code` is stable; `detail` is for people. */
export const problemSchema = z
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

type Problem = Omit<z.output<typeof problemSchema>, "type">;

/** Answers with a problem document. */
export function respondProblem(c: Context, problem: Problem): Response {
  const type = `urn:loom:problem:${problem.code.toLowerCase().replaceAll("_", "-")}`;
  return c.body(JSON.stringify({ type, ...problem }), problem.status as 500, {
    "content-type": "application/problem+json",
  });
}

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
  if (error instanceof InvalidInputError) {
    const errors = error.issues.map(({ path, message }) => ({
      path: path ? `input.${path}` : "input",
      message,
    }));
    const detail = "the input does not fit the workflow";
    return { title: "Invalid input", status: 422, code: error.code, detail, errors };
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
      detail: "the database's API did not answer; nothing is lost, try again",
    };
  }
  if (error instanceof QueueSchemaError || error instanceof QueueAccessError) {
    return { title: "Database not usable", status: 503, code: error.code, detail: error.message };
  }
  if (error instanceof HTTPException) {
    const title = error.status === 401 ? "Unauthorized" : "Bad request";
    const code = error.status === 401 ? "UNAUTHORIZED" : `HTTP_${error.status}`;
    return { title, status: error.status, code, detail: error.message || title };
  }
  return {
    title: "Internal error",
    status: 500,
    code: "INTERNAL",
    detail: "the hub failed; its log has the request's id",
  };
}

/** The last handler of every request that failed. */
export const onError =
  (log: Log) =>
  (error: Error, c: Context): Response => {
    const problem = toProblem(error);
    if (problem.status >= 500) {
      log.error(
        { err: error, method: c.req.method, path: c.req.path, requestId: c.get("requestId") },
        "request failed",
      );
    }
    const answer = respondProblem(c, problem);
    if (problem.status === 401) answer.headers.set("www-authenticate", 'Bearer realm="loom"');
    if (problem.status === 503) answer.headers.set("retry-after", "2");
    return answer;
  };
