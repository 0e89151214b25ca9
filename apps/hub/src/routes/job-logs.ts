import { createRoute, z } from "@hono/zod-openapi";
import { createRouter, type RouteDeps } from "../hub-context.ts";
import { answer } from "../json-content.ts";
import { commonProblems, operation } from "../operation.ts";
import { problems } from "../problem.ts";
import { jobParams } from "../views/job.ts";
import { logView, toLogPart } from "../views/log.ts";
import { wholeNumber } from "../whole-number.ts";

/** Of a log that one answer holds, as chunks of at most 256 KiB. */
const CHUNKS = 16;

const log = createRoute({
  ...operation("getJobLog", "read"),
  method: "get",
  path: "/{id}/logs",
  summary: "A job's output from a byte on",
  request: {
    params: jobParams,
    query: z.strictObject({
      offset: wholeNumber({ min: 0, max: 2_147_483_647 }).default(0),
      fence: wholeNumber({ min: 0, max: 2_147_483_647 }).optional().openapi({
        description: "The claim whose output to read; the newest where it is left out",
      }),
    }),
  },
  responses: {
    200: answer("The output, up to 4 MiB of it", logView),
    ...commonProblems,
    ...problems(404, 422),
  },
});

/** What jobs wrote to their output, piece by piece. */
export function jobLogRoutes({ queue }: Pick<RouteDeps, "queue">) {
  const app = createRouter();

  app.openapi(log, async (c) => {
    const { id } = c.req.valid("param");
    const { offset, fence } = c.req.valid("query");
    await queue.getJob(id);
    const page = await queue.readLog(id, {
      from: offset,
      limit: CHUNKS,
      ...(fence !== undefined && { fence }),
    });
    return c.json(toLogPart(page, offset), 200);
  });

  return app;
}
