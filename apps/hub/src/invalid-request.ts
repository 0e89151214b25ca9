import type { Hook } from "@hono/zod-openapi";
import type { HubEnv } from "./hub-context.ts";
import { respondProblem } from "./problem.ts";

/** Answers 422 with one entry for each field that a route's schema refused. */
// biome-ignore lint/suspicious/noExplicitAny: the hook of every route, whatever its input
export const invalidRequest: Hook<any, HubEnv, any, any> = (result, c) => {
  if (result.success) return;
  return respondProblem(c, {
    title: "Invalid request",
    status: 422,
    code: "INVALID_REQUEST",
    detail: "the request does not have the expected shape",
    errors: result.error.issues.map(({ path, message }) => ({ path: path.join("."), message })),
  });
};
