import type { Summary } from "@loom/client";
import {
  eventSchema,
  jobParams,
  logSchema,
  summaryQuery,
  summarySchema,
  wholeNumber,
} from "@loom/client/schemas";
import { allows, answer, createRouter, eventStream, route, withIsoDates } from "@loom/http";
import { isEventCursor, type QueueEvent, type Summary as QueueSummary } from "@loom/queue";
import { z } from "zod";
import type { HubContext } from "../hub-context.ts";
import { END, eventFrames } from "../stream/event-frames.ts";
import { createStreamGate } from "../stream/event-stream.ts";
import { createLogFrames } from "../stream/log-frames.ts";
import { toRun } from "./runs.ts";

const headers = z.object({
  "last-event-id": z.string().optional().openapi({
    description:
      "The `id` of the last event that the client has: the stream continues after it. If it is unknown, the stream begins with `reset` and continues from now",
  }),
});

const over = { 204: { description: "Nothing follows `Last-Event-ID`" } };

const MAX_PAST_MS = 3_600_000;

const everything = route("streamEvents", "read", {
  method: "get",
  path: "/events",
  summary: "All events, from now on or from up to an hour ago",
  description:
    "Server-sent events: `event` is the type, `id` the cursor, `data` an Event. `reset` means that too much has happened since `Last-Event-ID`: read the state again and continue from here. With `pastMs`, past events come first, at most 20 000; `now` marks their end. A comment every 15 s keeps the connection open. Events of requests (`request.done`) need the scope `operate`.",
  request: {
    headers,
    query: z.strictObject({
      pastMs: wholeNumber({ min: 0, max: MAX_PAST_MS }).default(0).openapi({
        description: "How far back to begin without a `Last-Event-ID`; up to an hour",
      }),
    }),
  },
  responses: { 200: eventStream("The events", eventSchema) },
  fails: [422],
});

const ofRun = route("streamRunEvents", "read", {
  method: "get",
  path: "/runs/{id}/events",
  summary: "The events of a run, until it is finished",
  description:
    "The first event is `snapshot`, whose data is the Run. Its events follow, and the last one is `end`, whose data is the finished Run. With `Last-Event-ID` there is no snapshot.",
  request: { params: z.object({ id: z.string() }), headers },
  responses: { 200: eventStream("The events", eventSchema), ...over },
  fails: [404],
});

const ofLog = route("streamJobLog", "read", {
  method: "get",
  path: "/jobs/{id}/logs/stream",
  summary: "A job's output as it is written, until the job is finished",
  description:
    "Every `log` event has a Log as data; a new `fence` in it means that another attempt has begun. `reset` means that `Last-Event-ID` is unknown and the output starts from its beginning. The last event is `end`.",
  request: { params: jobParams, headers },
  responses: { 200: eventStream("The output", logSchema), ...over },
  fails: [404, 422],
});

const summary = route("getSummary", "read", {
  method: "get",
  path: "/summary",
  summary: "What happened lately: failures with their causes, absences, missed times, events",
  request: { query: summaryQuery },
  responses: { 200: answer("What happened since then, the newest first", summarySchema) },
  fails: [422],
});

/** Streams of events and of output, and what happened lately. */
export function eventRoutes(hub: HubContext) {
  const { queue, feed } = hub;
  const app = createRouter();
  const openStream = createStreamGate(hub);
  const logFrames = createLogFrames({ queue, feed });

  app.openapi(everything, (c) => {
    const mayAudit = allows(c.get("identity"), "operate");
    const matches = ({ type }: QueueEvent) => mayAudit || type !== "request.done";
    const place = placeIn(c.req.valid("header"));
    const { pastMs } = c.req.valid("query");
    return openStream(c, (stream) => eventFrames(feed, { ...place, pastMs, matches }, stream));
  });

  app.openapi(ofRun, async (c) => {
    const { id } = c.req.valid("param");
    const last = c.req.valid("header");
    if (last["last-event-id"] === END) return c.body(null, 204);
    const { after, isLost } = placeIn(last);
    const current = async () => toRun(await queue.getRun(id));
    const snapshot = async () => {
      const data = await current();
      return { data, isLast: data.status !== "running" };
    };
    // Throws for an unknown run before the stream begins.
    const isOver = after !== undefined && (await snapshot()).isLast;
    const options = {
      after,
      isLost,
      matches: ({ runId }: QueueEvent) => runId === id.toLowerCase(),
      isLast: ({ type }: QueueEvent) => type === "run.finished",
      last: current,
      isOver,
      ...(after === undefined && { snapshot }),
    };
    return openStream(c, (stream) => eventFrames(feed, options, stream));
  });

  app.openapi(ofLog, (c) => {
    const { id } = c.req.valid("param");
    const last = c.req.valid("header")["last-event-id"];
    if (last === END) return c.body(null, 204);
    return openStream(c, (stream) => logFrames(id, last, stream));
  });

  app.openapi(summary, async (c) => {
    const { pastMs } = c.req.valid("query");
    return c.json(toSummary(await queue.summarize(pastMs)), 200);
  });

  return app;
}

const toSummary = ({ since, runs, failures, absences, slots, events }: QueueSummary): Summary => ({
  since: since.toISOString(),
  runs,
  failures: failures.map(withIsoDates),
  absences: absences.map(withIsoDates),
  slots: slots.map(withIsoDates),
  events: events.map(({ cursor: _, epoch: __, ...event }) => withIsoDates(event)),
});

/** Treats an unknown cursor as lost: a browser sends whatever `id` it saw last. */
function placeIn({ "last-event-id": id }: z.output<typeof headers>) {
  const isCursor = id !== undefined && isEventCursor(id);
  return { after: isCursor ? id : undefined, isLost: id !== undefined && !isCursor };
}
