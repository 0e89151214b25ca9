import { createHash } from "node:crypto";
import { z } from "@hono/zod-openapi";
import type { ApiRequest, Queue, Scope } from "@loom/queue";
import type { MiddlewareHandler } from "hono";
import { allows } from "./access/identity.ts";
import { peerOf } from "./access/peer.ts";
import type { HubContext, HubEnv } from "./hub-context.ts";
import { ProblemError, problems } from "./problem.ts";

/** What every operation under `/api` can answer besides its own. */
export const commonProblems = problems(401, 403, 421, 429, 503);

/**
 * What an operation of the API is called, and which scope it needs: the one place that says so, for
 * the description as well as for the check.
 */
export const operation = (operationId: string, scope: Scope) => ({
  operationId,
  "x-loom-scope": scope,
  middleware: requireScope(operationId, scope),
});

/** Refuses who may not do what is called so. */
export const requireScope =
  (action: string, scope: Scope): MiddlewareHandler<HubEnv> =>
  async (c, next) => {
    const identity = c.get("identity");
    if (!allows(identity, scope)) {
      throw new ProblemError({
        title: "Forbidden",
        status: 403,
        code: "SCOPE_MISSING",
        detail: `${action} needs the scope ${scope}; ${identity.who} has ${identity.scopes.join(", ")}`,
        hint: "use a token that has it",
      });
    }
    c.set("action", action);
    await next();
  };

/** The header that makes a request safe to repeat. */
export const idempotencyHeaders = z.object({
  "idempotency-key": z
    .string()
    .regex(/^[!-~]{1,255}$/, "a key has 1 to 255 visible ASCII characters")
    .optional()
    .openapi({
      description:
        "A second request with this key is not done again for a day: it gets the first one's answer, with `Idempotency-Replayed: true`. The same key with another request is refused.",
    }),
});

/** The queue on behalf of who asks: what it changes is written down with who, from where and what. */
export const actFor = (c: HubContext, queue: Queue): Queue => queue.actingFor(requestOf(c));

/**
 * The same, and once for an `Idempotency-Key`. Not for what makes a secret: a repeated answer
 * could not hold it again.
 *
 * @param existing - Items of the answer that have to be there already.
 */
export async function actOnceFor(
  c: HubContext,
  queue: Queue,
  existing: readonly number[] = [],
): Promise<Queue> {
  const request = { ...requestOf(c), ...(existing.length > 0 && { existing }) };
  const key = c.req.header("idempotency-key");
  if (key === undefined) return queue.actingFor(request);
  return queue.actingFor({
    ...request,
    idempotency: { key, fingerprint: await fingerprintOf(c) },
    onReplayed: () => c.header("Idempotency-Replayed", "true"),
  });
}

const requestOf = (c: HubContext): ApiRequest => ({
  who: c.get("identity").who,
  from: peerOf(c)?.remoteAddress ?? "unknown",
  action: c.get("action"),
  subject: c.req.path,
  id: c.get("requestId"),
});

async function fingerprintOf({ req }: HubContext): Promise<string> {
  const asked = `${req.method} ${req.path}\n${await req.text()}`;
  return createHash("sha256").update(asked).digest("hex");
}
