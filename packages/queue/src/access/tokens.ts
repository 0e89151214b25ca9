import { createHash, randomBytes } from "node:crypto";
import { z } from "zod";
import type { Call } from "../transport/call.ts";
import { instant, isUuid, row, rows } from "../transport/rows.ts";

/** The rights of a token. `admin` allows everything; each other scope allows only what it names. */
export const scopes = ["read", "run", "exec", "operate", "admin"] as const;
export type Scope = (typeof scopes)[number];

const apiToken = z.object({
  id: z.string(),
  name: z.string(),
  scopes: z.array(z.enum(scopes)),
  /** Whether it is a session, which a browser opened with a token for some hours. */
  isSession: z.boolean(),
  /**
   * The name of the token that the chain of sessions began with; for a token, its own. Null: a
   * hub's bootstrap token.
   */
  root: z.string().nullable(),
  /** For a session: the fingerprint of the bootstrap token that its chain began with. */
  bootstrap: z.string().nullable(),
  createdBy: z.string().nullable(),
  createdAt: instant,
  /** Null: never. */
  expiresAt: instant.nullable(),
  /** Exact to a minute. */
  lastUsedAt: instant.nullable(),
  revokedAt: instant.nullable(),
});
/** A token of the HTTP API as the database knows it, without the token itself. */
export type ApiToken = z.output<typeof apiToken>;

export interface NewApiToken {
  /** 1 to 100 characters, unique among valid tokens. */
  name: string;
  /** SHA-256 of the token, in hex. */
  digest: string;
  scopes: readonly Scope[];
  /** How long the token is valid, in milliseconds. Without it, the token does not expire. */
  lifetimeMs?: number;
  createdBy?: string;
  /**
   * Creates a session, which ends with what it is opened with: a token or session by its id, or a
   * hub's bootstrap token by a fingerprint (64 hex digits).
   */
  session?: { parent: string } | { bootstrap: string };
}

/** The tokens and sessions of the HTTP API. */
export interface ApiTokens {
  /**
   * Adds a token or a session.
   *
   * @throws QueueRequestError `TOKEN_NAME_TAKEN`, `INVALID_ARGUMENT`.
   * @see sql/tokens.sql
   */
  createToken(token: NewApiToken): Promise<ApiToken>;
  /** Returns the token of a digest while it is neither expired nor revoked. @see sql/tokens.sql */
  findToken(digest: string): Promise<ApiToken | null>;
  /** Lists every token, newest first, without sessions. @see sql/tokens.sql */
  listTokens(): Promise<ApiToken[]>;
  /** Lists every valid session, newest first. @see sql/tokens.sql */
  listSessions(): Promise<ApiToken[]>;
  /** Revokes a token or session. Null if it does not exist. @see sql/tokens.sql */
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
        p_parent: session && "parent" in session ? session.parent : null,
        p_bootstrap: session && "bootstrap" in session ? session.bootstrap : null,
      },
      row(apiToken),
    ),

  findToken: (digest) => call("loom_find_token", { p_digest: digest }, row(apiToken).nullable()),

  listTokens: () => call("loom_list_tokens", {}, rows(apiToken)),

  listSessions: () => call("loom_list_sessions", {}, z.array(row(apiToken))),

  async revokeToken(id) {
    if (!isUuid(id)) return null;
    return call("loom_revoke_token", { p_token: id }, row(apiToken).nullable());
  },
});

/** Makes a token: 32 random bytes behind a prefix that people and secret scanners recognise. */
export const makeToken = (): string => `loom_${randomBytes(32).toString("base64url")}`;

/** Whether a text has the shape of a token. Any other text need not be looked up. */
export const isTokenShaped = (text: string): boolean => /^loom_[A-Za-z0-9_-]{43}$/.test(text);

/** Makes the key of a node, in the same way. */
export const makeNodeKey = (): string => `loomn_${randomBytes(32).toString("base64url")}`;

/** Whether a text has the shape of a node's key. The database asks the same: sql/node-keys.sql. */
export const isNodeKeyShaped = (text: string): boolean => /^loomn_[A-Za-z0-9_-]{43}$/.test(text);

/** The digest that is stored of a token, a join token or a node's key. Each is long and random, so a fast hash is safe. */
export const digestOf = (token: string): string => createHash("sha256").update(token).digest("hex");
