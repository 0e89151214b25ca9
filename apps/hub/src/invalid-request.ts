import type { Hook } from "@hono/zod-openapi";
import type { HubEnv } from "./hub-context.ts";
import { respondProblem } from "./problem.ts";

/** What has no path inside of it is called so. */
const PARTS: Readonly<Record<string, string>> = { json: "body", param: "path" };

/** Answers 422 with one entry for each field that a route's schema refused. */
// biome-ignore lint/suspicious/noExplicitAny: the hook of every route, whatever its input
export const invalidRequest: Hook<any, HubEnv, any, any> = (result, c) => {
  if (result.success) return;
  const whole = PARTS[result.target] ?? result.target;
  const errors = result.error.issues.map(({ path, message }) => ({
    path: path.join(".") || whole,
    message,
  }));
  const [first] = errors;
  return respondProblem(c, {
    title: "Invalid request",
    status: 422,
    code: "INVALID_REQUEST",
    detail: `the request does not have the expected shape: ${first?.path}: ${first?.message}`,
    hint: `/docs describes what ${c.get("action")} takes`,
    errors,
  });
};
