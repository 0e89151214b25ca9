import { createRoute, z } from "@hono/zod-openapi";
import type { QueueEvent } from "@loom/queue";
import { allows } from "../access/identity.ts";
import { isEventCursor } from "../events/event-cursor.ts";
import { END, eventFrames } from "../events/event-frames.ts";
import type { createStreamGate } from "../events/event-stream.ts";
import { createLogFrames, readLogPlace } from "../events/log-frames.ts";
import { createRouter, type RouteDeps } from "../hub-context.ts";
import { eventStream } from "../json-content.ts";
import { commonProblems, operation } from "../operation.ts";
import { problems } from "../problem.ts";
import { eventView } from "../views/event.ts";
import { jobParams } from "../views/job.ts";
import { logView } from "../views/log.ts";
import { toRunView } from "../views/run.ts";
import { wholeNumber } from "../whole-number.ts";

const headers = z.object({
  "last-event-id": z.string().max(100).optional().openapi({
    description: "The `id` of the last event that was taken: the stream goes on behind it",
  }),
});

const over = { 204: { description: "There is nothing behind `Last-Event-ID`" } };

const MAX_PAST_MS = 3_600_000;

const everything = createRoute({
  ...operation("streamEvents", "read"),
  method: "get",
  path: "/events",
  summary: "Everything that happens, from now on or from a while ago",
  description:
    "Server-sent events: `event` is the type, `id` where it can be resumed, `data` an Event. `reset` says that too much happened since `Last-Event-ID` to tell: look anew, and go on from there. With `pastMs`, what happened before is told first, at most 20 000 events, and `now` says that the rest happens as it is told. A comment every 15 s keeps the connection. What was done at somebody's request (`request.done`) is told with the scope `operate`.",
  request: {
    headers,
    query: z.strictObject({
      pastMs: wholeNumber({ min: 0, max: MAX_PAST_MS }).default(0).openapi({
        description: "How far back to begin where there is no `Last-Event-ID`; up to an hour",
      }),
    }),
  },
  responses: {
    200: eventStream("The events", eventView),
    ...commonProblems,
    ...problems(422),
  },
});

const ofRun = createRoute({
  ...operation("streamRunEvents", "read"),
  method: "get",
  path: "/runs/{id}/events",
  summary: "What happens to a run, until it is finished",
  description:
    "Begins with `snapshot`, whose data is the Run as it is, and goes on with its events; the last one is `end`. With `Last-Event-ID` there is no snapshot.",
  request: { params: z.object({ id: z.string() }), headers },
  responses: {
    200: eventStream("The events", eventView),
    ...over,
    ...commonProblems,
    ...problems(404, 422),
  },
});

const ofLog = createRoute({
  ...operation("streamJobLog", "read"),
  method: "get",
  path: "/jobs/{id}/logs/stream",
  summary: "A job's output as it comes, until the job is finished",
  description:
    "Every `log` event has a Log as data; a new `fence` in it says that another attempt has begun. The last event is `end`.",
  request: {
    params: jobParams,
    headers,
  },
  responses: {
    200: eventStream("The output", logView),
    ...over,
    ...commonProblems,
    ...problems(404, 422),
  },
});

export function streamRoutes(
  { queue, feed }: RouteDeps,
  openStream: ReturnType<typeof createStreamGate>,
) {
  const app = createRouter();
  const logFrames = createLogFrames({ queue, feed });

  app.openapi(everything, (c) => {
    const mayAudit = allows(c.get("identity"), "operate");
    const matches = ({ type }: QueueEvent) => mayAudit || type !== "request.done";
    const after = cursorIn(c.req.valid("header"));
    const { pastMs } = c.req.valid("query");
    return openStream(c, (stream) => eventFrames(feed, { after, pastMs, matches }, stream));
  });

  app.openapi(ofRun, async (c) => {
    const { id } = c.req.valid("param");
    const last = c.req.valid("header");
    if (last["last-event-id"] === END) return c.body(null, 204);
    const after = cursorIn(last);
    const snapshot = async () => {
      const run = await queue.getRun(id);
      return { data: toRunView(run), isLast: run.status !== "running" };
    };
    // That there is such a run is known before the stream begins.
    const isOver = after !== undefined && (await snapshot()).isLast;
    const options = {
      after,
      matches: ({ runId }: QueueEvent) => runId === id.toLowerCase(),
      isLast: ({ type }: QueueEvent) => type === "run.finished",
      isOver,
      ...(after === undefined && { snapshot }),
    };
    return openStream(c, (stream) => eventFrames(feed, options, stream));
  });

  app.openapi(ofLog, (c) => {
    const { id } = c.req.valid("param");
    const last = c.req.valid("header")["last-event-id"];
    if (last === END) return c.body(null, 204);
    const place = readLogPlace(last) ?? { fence: null, offset: 0 };
    return openStream(c, (stream) => logFrames(id, place, stream));
  });

  return app;
}

/** What is no cursor of ours is as none: a browser sends whatever `id` it saw last. */
function cursorIn({ "last-event-id": id }: z.output<typeof headers>): string | undefined {
  return id !== undefined && isEventCursor(id) ? id : undefined;
}
