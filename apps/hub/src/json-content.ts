import type { z } from "@hono/zod-openapi";

/** A body of JSON, as a route describes it. */
export const json = <Schema extends z.ZodType>(schema: Schema) => ({
  content: { "application/json": { schema } },
});

/** An answer of JSON. */
export const answer = <Schema extends z.ZodType>(description: string, schema: Schema) => ({
  description,
  ...json(schema),
});

/** An answer that is a stream of events. */
export const eventStream = <Schema extends z.ZodType>(description: string, schema: Schema) => ({
  description,
  content: { "text/event-stream": { schema } },
});
