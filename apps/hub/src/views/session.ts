import { z } from "@hono/zod-openapi";
import { scope } from "./token.ts";

export const sessionView = z
  .object({
    who: z.string(),
    scopes: z.array(scope),
    expiresAt: z.iso.datetime().nullable(),
  })
  .openapi("Session");
