import { z } from "zod";
import type { Call } from "./call.ts";
import { instant, row } from "./row.ts";

/** What a token may be used for. `admin` allows everything, the others only what they say. */
export const scopes = ["read", "run", "operate", "admin"] as const;
export type Scope = (typeof scopes)[number];

const apiToken = z.object({
  id: z.string(),
  name: z.string(),
  scopes: z.array(z.enum(scopes)),
  /** Opened with a token, by a browser, for some hours. */
  isSession: z.boolean(),
  createdBy: z.string().nullable(),
  createdAt: instant,
  /** Null: never. */
  expiresAt: instant.nullable(),
  /** To a minute. */
  lastUsedAt: instant.nullable(),
  revokedAt: instant.nullable(),
});
/** A token of the HTTP API as the database knows it: without the token. */
export type ApiToken = z.output<typeof apiToken>;

export interface NewApiToken {
  /** 1 to 100 characters; no other good token has it. */
  name: string;
  /** SHA-256 of the token, in hex. */
  digest: string;
  scopes: readonly Scope[];
  /** From now; without it the token does not expire. */
  lifetimeMs?: number;
  createdBy?: string;
  /** Makes it a session; it ends with `parent`, the id of the token that opened it, where there is one. */
  session?: { parent: string | null };
}

/** Who may use the HTTP API. */
export interface ApiTokens {
  /**
   * @throws QueueRequestError `TOKEN_NAME_TAKEN`, `INVALID_ARGUMENT`.
   * @see sql/create_token.sql
   */
  createToken(token: NewApiToken): Promise<ApiToken>;
  /** The token of a digest while it is neither expired nor revoked. @see sql/find_token.sql */
  findToken(digest: string): Promise<ApiToken | null>;
  /** Every token, newest first, without sessions. @see sql/list_tokens.sql */
  listTokens(): Promise<ApiToken[]>;
  /** Null when there is none. @see sql/revoke_token.sql */
  revokeToken(id: string): Promise<ApiToken | null>;
}

export const apiTokens = (call: Call): ApiTokens => ({
  createToken: ({ name, digest, scopes: allowed, lifetimeMs, createdBy, session }) =>
    call(
      "loom_create_token",
      {
        p_name: name,
        p_digest: digest,
        p_scopes: allowed,
        p_lifetime_ms: lifetimeMs ?? null,
        p_created_by: createdBy ?? null,
        p_session: session !== undefined,
        p_parent: session?.parent ?? null,
      },
      row(apiToken),
    ),

  findToken: (digest) => call("loom_find_token", { p_digest: digest }, row(apiToken).nullable()),

  listTokens: () => call("loom_list_tokens", {}, z.array(row(apiToken))),

  async revokeToken(id) {
    if (!z.guid().safeParse(id).success) return null;
    return call("loom_revoke_token", { p_token: id }, row(apiToken).nullable());
  },
});
