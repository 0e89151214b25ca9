import { z } from "@hono/zod-openapi";
import { eventTypes, type QueueEvent } from "@loom/queue";

export const eventView = z
  .object({
    /** Rises with time for the events of one job. */
    seq: z.int(),
    at: z.iso.datetime(),
    type: z.enum(eventTypes),
    runId: z.string().nullable(),
    jobId: z.int().nullable(),
    /** The state after it, of the job; of the run where there is no job. */
    state: z.string().nullable(),
    node: z.string().nullable(),
    fence: z.int().nullable(),
    detail: z.string().nullable(),
  })
  .openapi("Event");

export const toEventView = ({
  cursor: _,
  epoch: __,
  at,
  ...event
}: QueueEvent): z.output<typeof eventView> => ({ ...event, at: at.toISOString() });
