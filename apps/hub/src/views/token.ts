import { z } from "@hono/zod-openapi";
import { type ApiToken, scopes } from "@loom/queue";
import { withIsoDates } from "./iso-dates.ts";

export const scope = z.enum(scopes).openapi("Scope");

export const tokenView = z
  .object({
    id: z.string(),
    name: z.string(),
    scopes: z.array(scope),
    createdBy: z.string().nullable(),
    createdAt: z.iso.datetime(),
    /** Null: never. */
    expiresAt: z.iso.datetime().nullable(),
    /** To a minute. */
    lastUsedAt: z.iso.datetime().nullable(),
    revokedAt: z.iso.datetime().nullable(),
  })
  .openapi("Token");

/** A token that was just made: with its secret. */
export const newTokenView = z.object({ ...tokenView.shape, token: z.string() }).openapi("NewToken");

export function toTokenView({ isSession: _, ...token }: ApiToken): z.output<typeof tokenView> {
  return withIsoDates(token);
}
