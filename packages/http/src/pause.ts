import { pauseRequest } from "@loom/client/schemas";
import type { Queue } from "@loom/queue";
import { z } from "zod";
import { auditedOnce, createRouter, idempotencyHeaders, optionalBody, route } from "./operation.ts";

/** A resource that can be paused and resumed. */
interface Pausable {
  /** Its noun in the ids of the operations, such as `Strand`. */
  noun: string;
  /** The name of the path parameter that identifies it. */
  parameter: string;
  /** Summary of the operation that pauses. */
  pauses: string;
  /** Summary of the operation that resumes. */
  resumes: string;
  /** Throws when there is no such resource. */
  pause: (audited: Queue, name: string, note?: string) => Promise<void>;
  resume: (audited: Queue, name: string) => Promise<void>;
}

/** `POST /{name}/pause`, with a note for people, and `POST /{name}/resume`. */
export function pauseRoutes({ queue }: { queue: Queue }, { noun, parameter, ...what }: Pausable) {
  const params = z.object({ [parameter]: z.string() });
  const pause = route(`pause${noun}`, "operate", {
    method: "post",
    path: `/{${parameter}}/pause`,
    summary: what.pauses,
    request: { params, headers: idempotencyHeaders, body: optionalBody(pauseRequest) },
    responses: { 204: { description: "It is paused" } },
    fails: [404],
  });
  const resume = route(`resume${noun}`, "operate", {
    method: "post",
    path: `/{${parameter}}/resume`,
    summary: what.resumes,
    request: { params, headers: idempotencyHeaders },
    responses: { 204: { description: "It is not paused" } },
    fails: [404, 422],
  });
  const nameIn = (given: Record<string, string>): string => given[parameter] ?? "";

  const app = createRouter();
  app.openapi(pause, async (c) => {
    const audited = await auditedOnce(c, queue);
    await what.pause(audited, nameIn(c.req.valid("param")), c.req.valid("json").note);
    return c.body(null, 204);
  });
  app.openapi(resume, async (c) => {
    await what.resume(await auditedOnce(c, queue), nameIn(c.req.valid("param")));
    return c.body(null, 204);
  });
  return app;
}
