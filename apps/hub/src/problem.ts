import { z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { explanationView } from "./views/explanation.ts";

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
    /** Of steps that no node could run: every node with what speaks against it. */
    explanations: z.array(z.object({ step: z.string(), explanation: explanationView })).optional(),
  })
  .openapi("Problem");

/** A problem document without what follows from its code. */
export type Problem = Omit<z.output<typeof problemSchema>, "type">;

/** Thrown to answer a request with a problem. */
export class ProblemError extends Error {
  override readonly name = "ProblemError";
  readonly problem: Problem;
  readonly headers: Readonly<Record<string, string>>;
  constructor(problem: Problem, headers: Readonly<Record<string, string>> = {}) {
    super(problem.detail);
    this.problem = problem;
    this.headers = headers;
  }
}

const DESCRIPTIONS = {
  400: "The request cannot be read",
  401: "No credential, or one that is not good (any more)",
  403: "The credential does not allow it",
  404: "It is not there",
  409: "Not in this state",
  413: "Too large",
  415: "The body is not declared as JSON",
  421: "The hub is not known by the host that was asked for; see LOOM_HOSTS",
  422: "The request can be read, and makes no sense",
  429: "Too many requests; see Retry-After",
  503: "The database did not answer; see Retry-After",
} as const;
export type ProblemStatus = keyof typeof DESCRIPTIONS;

/** A problem, as a route describes it. */
export interface ProblemResponse {
  description: string;
  content: { "application/problem+json": { schema: typeof problemSchema } };
}

/** What a route's description says of its problems. */
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
  headers: Readonly<Record<string, string>> = {},
): Response {
  const answer = toAnswer(problem);
  return c.body(answer.body, problem.status as 500, { ...answer.headers, ...headers });
}
