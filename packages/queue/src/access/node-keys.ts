import { z } from "zod";
import type { Call } from "../transport/call.ts";
import { instant, isUuid, row, rows } from "../transport/rows.ts";

/** Which machines may act for which nodes: keys, and the tokens that a machine joins with. */
export interface NodeKeys {
  /**
   * Adds a token that machines join with. The same digest again gets the same answer.
   *
   * @throws QueueRequestError `INVALID_ARGUMENT`.
   * @see sql/joining.sql
   */
  createJoinToken(token: NewJoinToken): Promise<JoinToken>;

  /** Every join token that is still known, newest first, also what is used or over. @see sql/joining.sql */
  listJoinTokens(): Promise<JoinToken[]>;

  /** Revokes a join token; what joined with it stays. Null when there is none. @see sql/joining.sql */
  revokeJoinToken(id: string): Promise<JoinToken | null>;

  /**
   * Gives a machine a node's name and its key's digest. The same token, digest and node again get the same
   * answer.
   *
   * @throws QueueRequestError `JOIN_TOKEN_REFUSED`, `JOIN_TOKEN_WRONG_NODE`, `NODE_NAME_IN_USE`, `NODE_KEY_USED`,
   *   `INVALID_ARGUMENT`.
   * @see sql/joining.sql
   */
  joinNode(request: JoinRequest): Promise<JoinedNode>;

  /**
   * Adds a second key to the node whose key this queue calls with. Both are valid until the first one is
   * revoked.
   *
   * @throws QueueRequestError `NODE_KEY_USED`, `INVALID_ARGUMENT`.
   * @see sql/node-keys.sql
   */
  rotateNodeKey(node: string, digest: string): Promise<{ node: string; keyId: string }>;

  /** The keys of a node, or of all nodes: the valid ones, then what is revoked, newest first. @see sql/node-keys.sql */
  listNodeKeys(node?: string): Promise<NodeKey[]>;

  /**
   * Revokes a key. The session that it opened ends, and the node's jobs and offers go back at once.
   *
   * @returns Null when there is none.
   * @see sql/node-keys.sql
   */
  revokeNodeKey(id: string): Promise<{ key: NodeKey; requeued: number } | null>;

  /** Revokes the key that this queue calls with. Repeated, it is refused: QueueAccessError. @see sql/node-keys.sql */
  revokeOwnKey(node: string): Promise<{ requeued: number }>;

  /**
   * Lets a node offer names beside what its probes measure; or, with `allow: false`, no longer.
   *
   * @param names - Without values, as in `has-nas`. `*` stands for all.
   * @returns Null when the node has no valid key.
   * @throws QueueRequestError `INVALID_ARGUMENT`.
   * @see sql/offering.sql
   */
  allowOffers(
    node: string,
    names: readonly string[],
    options?: { allow?: boolean },
  ): Promise<AllowedOffers | null>;

  /**
   * Forgets a node: its keys, its session and its row. Its jobs and offers go back at once.
   *
   * @param options.force - Also while it runs jobs.
   * @returns Null when there is no such node.
   * @throws QueueRequestError `NODE_BUSY`.
   * @see sql/node-keys.sql
   */
  removeNode(node: string, options?: { force?: boolean }): Promise<{ requeued: number } | null>;
}

export const nodeKeys = (call: Call): NodeKeys => ({
  createJoinToken: ({ digest, createdBy, node, mayOffer = [], lifetimeMs = 900_000, uses = 1 }) =>
    call(
      "loom_create_join_token",
      {
        p_digest: digest,
        p_created_by: createdBy,
        p_node: node ?? null,
        p_may_offer: mayOffer,
        p_lifetime_ms: lifetimeMs,
        p_uses: uses,
      },
      row(joinToken),
    ),

  listJoinTokens: () => call("loom_list_join_tokens", {}, rows(joinToken)),

  async revokeJoinToken(id) {
    if (!isUuid(id)) return null;
    return call("loom_revoke_join_token", { p_token: id }, row(joinToken).nullable());
  },

  joinNode: ({ node, digest, createdBy, tokenDigest, tailnetId, mayOffer = [] }) =>
    call(
      "loom_join_node",
      {
        p_node: node,
        p_digest: digest,
        p_created_by: createdBy,
        p_token_digest: tokenDigest ?? null,
        p_tailnet_id: tailnetId ?? null,
        p_may_offer: mayOffer,
      },
      row(joinedNode),
    ),

  rotateNodeKey: (node, digest) =>
    call("loom_rotate_key", { p_node: node, p_digest: digest }, row(rotatedKey)),

  listNodeKeys: (node) => call("loom_list_keys", { p_node: node ?? null }, rows(nodeKey)),

  async revokeNodeKey(id) {
    if (!isUuid(id)) return null;
    return call("loom_revoke_key", { p_key: id }, row(revokedKey).nullable());
  },

  revokeOwnKey: (node) => call("loom_revoke_own_key", { p_node: node }, requeued),

  allowOffers: (node, names, { allow = true } = {}) =>
    call(
      "loom_allow_offers",
      { p_node: node, p_names: names, p_allow: allow },
      row(allowedOffers).nullable(),
    ),

  removeNode: (node, { force = false } = {}) =>
    call("loom_remove_node", { p_node: node, p_force: force }, requeued.nullable()),
});

export interface NewJoinToken {
  /** SHA-256 of the token, in hex. */
  digest: string;
  /** The caller that asked for it. */
  createdBy: string;
  /** The only name that it is good for. */
  node?: string | undefined;
  /** Names that the machine may offer beside what its probes measure; `*` for all. */
  mayOffer?: readonly string[] | undefined;
  /** From now: 1 s to 30 days, by default 15 minutes. */
  lifetimeMs?: number | undefined;
  /** For how many machines it is good: 1 to 1 000, by default one. */
  uses?: number | undefined;
}

export interface JoinRequest {
  /** The name that the machine is to have. */
  node: string;
  /** SHA-256 of the key that the machine has made, in hex. */
  digest: string;
  /** The person or rule that admitted it, for people to read. */
  createdBy: string;
  /** SHA-256 of the join token. Without one, the tailnet id says which machine it is. */
  tokenDigest?: string | undefined;
  /** The machine's stable id in the tailnet, as the hub's own tailscaled says it. */
  tailnetId?: string | undefined;
  /** The names that it may offer when it joins without a token. */
  mayOffer?: readonly string[] | undefined;
}

const joinedNode = z.object({
  node: z.string(),
  keyId: z.string(),
  /** `existing`: an earlier call did it. */
  returned: z.enum(["created", "existing"]),
});

export type JoinedNode = z.output<typeof joinedNode>;

const joinToken = z.object({
  id: z.string(),
  node: z.string().nullable(),
  mayOffer: z.array(z.string()),
  createdBy: z.string(),
  createdAt: instant,
  expiresAt: instant,
  usesLeft: z.int(),
  revokedAt: instant.nullable(),
  /** What joined with it, and has not been removed since. */
  joined: z.array(row(z.object({ node: z.string(), keyId: z.string(), at: instant }))),
});

/** A join token as the database knows it: without the token. */
export type JoinToken = z.output<typeof joinToken>;

const nodeKey = z.object({
  id: z.string(),
  node: z.string(),
  mayOffer: z.array(z.string()),
  tailnetId: z.string().nullable(),
  createdBy: z.string(),
  createdAt: instant,
  /** Null: never. */
  expiresAt: instant.nullable(),
  /** To a minute. */
  lastUsedAt: instant.nullable(),
  revokedAt: instant.nullable(),
  /** Neither revoked nor expired, by the database's clock. */
  valid: z.boolean(),
});

/** A node's key as the database knows it: without the key. */
export type NodeKey = z.output<typeof nodeKey>;

const rotatedKey = z.object({ node: z.string(), keyId: z.string() });
const requeued = z.object({ requeued: z.int() });
const revokedKey = requeued.extend({ key: row(nodeKey) });

const allowedOffers = z.object({
  mayOffer: z.array(z.string()),
  /** The names that the node declares now and may still not offer. */
  asked: z.array(z.string()),
});

export type AllowedOffers = z.output<typeof allowedOffers>;
