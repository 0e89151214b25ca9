import { createRoute, z } from "@hono/zod-openapi";
import type { Queue } from "@loom/queue";
import { createRouter, type RouteDeps } from "../hub-context.ts";
import { json } from "../json-content.ts";
import { actOnceFor, commonProblems, idempotencyHeaders, operation } from "../operation.ts";
import { problems } from "../problem.ts";

/** Something that can be paused and resumed. */
interface Pausable {
  /** As it is called in the operations' ids: `Strand`. */
  noun: string;
  /** As its name is called in the path. */
  parameter: string;
  /** What the two do, for the description. */
  pauses: string;
  resumes: string;
  /** @throws Whatever says that there is no such thing. */
  pause: (acting: Queue, name: string, note?: string) => Promise<void>;
  resume: (acting: Queue, name: string) => Promise<void>;
}

/** `POST /{name}/pause`, with a note for people, and `POST /{name}/resume`. */
export function pausePair(
  { queue }: Pick<RouteDeps, "queue">,
  { noun, parameter, ...what }: Pausable,
) {
  const params = z.object({ [parameter]: z.string() });
  const pause = createRoute({
    ...operation(`pause${noun}`, "operate"),
    method: "post",
    path: `/{${parameter}}/pause`,
    summary: what.pauses,
    request: {
      params,
      headers: idempotencyHeaders,
      body: {
        required: false,
        ...json(z.strictObject({ note: z.string().min(1).max(500).optional() })),
      },
    },
    responses: {
      204: { description: "It is paused" },
      ...commonProblems,
      ...problems(400, 404, 413, 415, 422),
    },
  });
  const resume = createRoute({
    ...operation(`resume${noun}`, "operate"),
    method: "post",
    path: `/{${parameter}}/resume`,
    summary: what.resumes,
    request: { params, headers: idempotencyHeaders },
    responses: {
      204: { description: "It is not paused" },
      ...commonProblems,
      ...problems(404, 422),
    },
  });
  const nameIn = (given: Record<string, string>): string => given[parameter] ?? "";

  const app = createRouter();
  app.openapi(pause, async (c) => {
    const acting = await actOnceFor(c, queue);
    await what.pause(acting, nameIn(c.req.valid("param")), c.req.valid("json").note);
    return c.body(null, 204);
  });
  app.openapi(resume, async (c) => {
    await what.resume(await actOnceFor(c, queue), nameIn(c.req.valid("param")));
    return c.body(null, 204);
  });
  return app;
}
