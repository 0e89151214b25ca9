import { createHash } from "node:crypto";
import { createRoute, type Hook, OpenAPIHono, type RouteConfig, z } from "@hono/zod-openapi";
import type { ApiRequest, Queue, Scope } from "@loom/queue";
import { describeIssue } from "@loom/workflow";
import type { MiddlewareHandler } from "hono";
import { allows } from "./access/authenticate.ts";
import { peerOf } from "./access/origin.ts";
import { type ProblemStatus, problem, problems, respondProblem } from "./problem.ts";
import { describeProblem } from "./problem-table.ts";
import type { HubEnv, RequestContext } from "./request.ts";

/** Creates a part of the API. A request that a route's schema refuses gets a 422. */
export const createRouter = () => new OpenAPIHono<HubEnv>({ defaultHook: refuseInvalid });

/** Problems that every operation under `/api` can answer with, besides its own. */
const COMMON: readonly ProblemStatus[] = [401, 403, 421, 429, 503];
/** Problems of every operation that reads a body. */
const OF_BODY: readonly ProblemStatus[] = [400, 413, 415, 422];

/**
 * Describes an operation: its id, the scope that it needs, its request, its answers and the statuses of its problems.
 * The OpenAPI document, the check of the scope and the check of the request all follow from it.
 *
 * @param config.fails - Its own problems, besides those of every operation and of every body.
 */
export function route<Path extends string, Config extends Omit<RouteConfig, "path">>(
  operationId: string,
  scope: Scope,
  { fails = [], ...config }: Config & { path: Path; fails?: readonly ProblemStatus[] },
) {
  const statuses = [...COMMON, ...(config.request?.body ? OF_BODY : []), ...fails];
  return createRoute({
    ...config,
    operationId,
    "x-loom-scope": scope,
    middleware: requireScope(operationId, scope),
    responses: { ...config.responses, ...problems(...statuses) },
  } as unknown as Config & { path: Path });
}

/** Refuses callers without a scope. */
export const requireScope =
  (action: string, scope: Scope): MiddlewareHandler<HubEnv> =>
  async (c, next) => {
    checkScope(c, action, scope);
    c.set("action", action);
    await next();
  };

/** Refuses a caller without a scope that the operation needs for what it is about. */
export const alsoRequireScope = (c: RequestContext, scope: Scope): void =>
  checkScope(c, c.get("action"), scope);

function checkScope(c: RequestContext, action: string, scope: Scope): void {
  const identity = c.get("identity");
  const { who, scopes } = identity;
  if (!allows(identity, scope)) throw problem("SCOPE_MISSING", action, scope, who, scopes);
}

/** A JSON body in a route's description. */
const json = <Schema extends z.ZodType>(schema: Schema) => ({
  content: { "application/json": { schema } },
});

/** A JSON body that a request has to have. */
export const body = <Schema extends z.ZodType>(schema: Schema) =>
  ({ required: true, ...json(schema) }) as const;

/** A JSON body that a request may leave out. */
export const optionalBody = <Schema extends z.ZodType>(schema: Schema) =>
  ({ required: false, ...json(schema) }) as const;

/** A JSON answer in a route's description. */
export const answer = <Schema extends z.ZodType>(description: string, schema: Schema) => ({
  description,
  ...json(schema),
});

/** A stream of events in a route's description. */
export const eventStream = <Schema extends z.ZodType>(description: string, schema: Schema) => ({
  description,
  content: { "text/event-stream": { schema } },
});

/** The header that makes a request safe to repeat. */
export const idempotencyHeaders = z.object({
  "idempotency-key": z
    .string()
    .regex(/^[!-~]{1,255}$/, "must have 1 to 255 visible ASCII characters")
    .optional()
    .openapi({
      description:
        "For a day, a second request with this key changes nothing and gets the first answer, with `Idempotency-Replayed: true`. Another request with the same key is refused.",
    }),
});

/** The queue, which records changes with the caller, the caller's address and the operation. */
export const audited = (c: RequestContext, queue: Queue): Queue => queue.withAudit(requestOf(c));

/**
 * Like {@link audited}, and repeats nothing for a known `Idempotency-Key`. Not for operations that create a secret: a
 * repeated answer could not contain it again.
 *
 * @param existing - Indexes of items that must already exist.
 */
export async function auditedOnce(
  c: RequestContext,
  queue: Queue,
  existing: readonly number[] = [],
): Promise<Queue> {
  const request = { ...requestOf(c), ...(existing.length > 0 && { existing }) };
  const key = c.req.header("idempotency-key");
  if (key === undefined) return queue.withAudit(request);
  return queue.withAudit({
    ...request,
    idempotency: { key, fingerprint: await fingerprintOf(c) },
    onReplayed: () => c.header("Idempotency-Replayed", "true"),
  });
}

const requestOf = (c: RequestContext): ApiRequest => ({
  who: c.get("identity").who,
  from: peerOf(c)?.remoteAddress ?? "unknown",
  action: c.get("action"),
  subject: c.req.path,
  id: c.get("requestId"),
});

async function fingerprintOf({ req }: RequestContext): Promise<string> {
  const request = `${req.method} ${req.path}\n${await req.text()}`;
  return createHash("sha256").update(request).digest("hex");
}

// The sentences of an INVALID_REQUEST are ours: they say what is allowed.
z.config({ customError: describeIssue });

/** Names of a request's parts in errors that concern the whole part. */
const PARTS: Readonly<Record<string, string>> = { json: "body", param: "path" };

/** Answers 422 with one entry for each field that a route's schema refused. */
// biome-ignore lint/suspicious/noExplicitAny: the hook of every route, whatever its input
const refuseInvalid: Hook<any, HubEnv, any, any> = (result, c) => {
  if (result.success) return;
  const part = PARTS[result.target] ?? result.target;
  const errors = result.error.issues.map(({ path, message }) => ({
    path: z.core.toDotPath(path) || part,
    message,
  }));
  return respondProblem(c, describeProblem("INVALID_REQUEST", c.get("action"), errors));
};
