import { z } from "zod";
import { instant, type RequestOf } from "./values.ts";

const nodeStatus = z.enum(["active", "paused", "draining"]);

export const nodeSchema = z
  .object({
    name: z.string(),
    online: z.boolean(),
    status: nodeStatus,
    statusNote: z.string().nullable(),
    /** When the status ends by itself. */
    statusUntil: instant.nullable(),
    lastSeenMs: z.number().nullable(),
    capabilities: z.array(z.string()),
    /** The names that it declares and that its key does not let it offer, until an administrator allows them. */
    askedCapabilities: z.array(z.string()),
    slots: z.int(),
    /** The jobs that it runs and the offers that it has not claimed. Both take slots. */
    running: z.int(),
    offered: z.int(),
    agentVersion: z.string().nullable(),
    /** Its agent's program; null where that does not come from a hub. */
    agent: z
      .object({
        /** SHA-256 of its archive. */
        digest: z.string(),
        /** Whether it is the one that this hub has; null while the hub does not know. */
        isPresent: z.boolean().nullable(),
        /** Whether it has the order to take the hub's, and has not said how that ended. */
        isOrdered: z.boolean(),
        /** Until when it lets what runs end before it becomes the hub's; null when it is not about to. */
        drainsUntil: instant.nullable(),
        /** Why it did not take the hub's when it last tried. */
        problem: z.string().nullable(),
      })
      .nullable(),
    tailnetAddress: z.string().nullable(),
    facts: z.record(z.string(), z.unknown()),
  })
  .meta({ id: "Node" });
export type Node = z.output<typeof nodeSchema>;

export const nodeVerb = z.enum(["pause", "drain", "resume"]);
export type NodeVerb = z.output<typeof nodeVerb>;

export const steerRequest = z.strictObject({
  note: z.string().max(2_000).optional().meta({ description: "Why, for people" }),
  forMs: z.int().min(0).max(31_536_000_000).optional().meta({
    description: "When a pause ends by itself, or the deadline of a drain",
  }),
});
export type SteerRequest = RequestOf<typeof steerRequest>;

export const steeredSchema = z.object({
  status: nodeStatus,
  returned: z.int().meta({ description: "The number of offers that were taken back" }),
});
export type Steered = z.output<typeof steeredSchema>;

export const upgradeOrderedSchema = z.object({
  agent: z.object({ digest: z.string(), version: z.string() }),
  ordered: z
    .array(z.string())
    .meta({ description: "The nodes that have the order, in the sequence in which they begin" }),
  skipped: z.array(z.object({ node: z.string(), reason: z.string() })),
});
export type UpgradeOrdered = z.output<typeof upgradeOrderedSchema>;

export const nodeKeySchema = z
  .object({
    id: z.string(),
    node: z.string(),
    /** Names that it may offer beside what its probes measure; `*` for all. */
    mayOffer: z.array(z.string()),
    createdBy: z.string(),
    createdAt: instant,
    /** Null: never. */
    expiresAt: instant.nullable(),
    /** To a minute. */
    lastUsedAt: instant.nullable(),
    revokedAt: instant.nullable(),
    /** Neither revoked nor expired. */
    valid: z.boolean(),
  })
  .meta({ id: "NodeKey" });
/** A node's key as the hub knows it: without the key. */
export type NodeKey = z.output<typeof nodeKeySchema>;

const requeued = z.int().meta({ description: "The number of jobs and offers that went back" });

export const revokedNodeKeySchema = z.object({ key: nodeKeySchema, requeued });
export type RevokedNodeKey = z.output<typeof revokedNodeKeySchema>;

export const removedNodeSchema = z.object({ requeued });
export type RemovedNode = z.output<typeof removedNodeSchema>;

export const allowRequest = z.strictObject({
  names: z
    .array(
      z.string().regex(/^(\*|[a-z0-9][a-z0-9._:-]{0,99})$/i, "must be a name without its value"),
    )
    .min(1)
    .max(100)
    .meta({ description: "Names without their values, such as `has-nas`; `*` for all" }),
  allow: z.boolean().optional().meta({ description: "False takes the permission back" }),
});
export type AllowRequest = RequestOf<typeof allowRequest>;

export const allowedOffersSchema = z.object({
  mayOffer: z.array(z.string()),
  /** The names that the node declares now and may still not offer. */
  asked: z.array(z.string()),
});
export type AllowedOffers = z.output<typeof allowedOffersSchema>;
