import { z } from "@hono/zod-openapi";

/** Something that was changed at somebody's request. */
export const requestView = z
  .object({
    at: z.iso.datetime(),
    who: z.string(),
    /** The address that it came from. */
    from: z.string().nullable(),
    action: z.string(),
    subject: z.string().nullable(),
    /** Of the request, as in logs. */
    id: z.string().nullable(),
    /** How the answer of the database begins. */
    answer: z.string().nullable(),
  })
  .openapi("AuditEntry");
