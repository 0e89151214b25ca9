import { limits } from "@loom/workflow";
import { z } from "zod";
import { instant, type RequestOf } from "./values.ts";

const scope = z.enum(["read", "run", "exec", "operate", "admin"]).meta({ id: "Scope" });
export type Scope = z.output<typeof scope>;

export const tokenSchema = z
  .object({
    id: z.string(),
    name: z.string(),
    scopes: z.array(scope),
    createdBy: z.string().nullable(),
    createdAt: instant,
    /** Null: it does not expire. */
    expiresAt: instant.nullable(),
    /** Accurate to a minute. */
    lastUsedAt: instant.nullable(),
    revokedAt: instant.nullable(),
  })
  .meta({ id: "Token" });
export type Token = z.output<typeof tokenSchema>;

/** A token that was just created, with its secret. */
export const newTokenSchema = z
  .object({ ...tokenSchema.shape, token: z.string() })
  .meta({ id: "NewToken" });
export type NewToken = z.output<typeof newTokenSchema>;

export const tokenRequest = z.strictObject({
  name: z.string().regex(/^\P{C}{1,100}$/u, "must have 1 to 100 printable characters"),
  scopes: z
    .array(scope)
    .min(1)
    .max(5)
    .transform((given) => [...new Set(given)]),
  expiresInDays: z.int().min(1).max(3_650).optional(),
});
export type TokenRequest = RequestOf<typeof tokenRequest>;

export const openSessionSchema = z
  .object({
    id: z.string(),
    name: z.string(),
    scopes: z.array(scope),
    /**
     * The name of the token that it ends with; null for the bootstrap token of the hub's
     * environment.
     */
    token: z.string().nullable(),
    createdAt: instant,
    expiresAt: instant.nullable(),
    /** Accurate to a minute. */
    lastUsedAt: instant.nullable(),
  })
  .meta({ id: "OpenSession" });
/** A browser that is logged in. */
export type OpenSession = z.output<typeof openSessionSchema>;

export const sessionSchema = z
  .object({
    who: z.string(),
    scopes: z.array(scope),
    expiresAt: instant.nullable(),
  })
  .meta({ id: "Session" });
/** The caller and its rights. */
export type Session = z.output<typeof sessionSchema>;

const nodeName = z
  .string()
  .max(limits.nodeNameLength)
  .regex(
    /^[a-z0-9][a-z0-9._-]*$/,
    "must have only a-z, 0-9, dots, underscores and hyphens, and begin with a letter or digit",
  );

/** The name of a capability, without a value. */
const offer = z
  .string()
  .max(limits.capabilityLength)
  .regex(
    /^(\*|[a-z0-9][a-z0-9._:-]*)$/,
    "must be the name of a capability without its value, or * for all",
  );

export const joinTokenRequest = z.strictObject({
  /** The name of the node that may use it. Without it, the machine says its name. */
  node: nodeName.optional(),
  /** How long it may be used; default 15 minutes. */
  expiresInMinutes: z.int().min(1).max(1_440).optional(),
  /** What the node may offer besides what its machine is measured to have. */
  mayOffer: z.array(offer).max(100).optional(),
});
export type JoinTokenRequest = RequestOf<typeof joinTokenRequest>;

export const joinTokenSchema = z
  .object({
    id: z.string(),
    node: z.string().nullable(),
    mayOffer: z.array(z.string()),
    createdBy: z.string(),
    createdAt: instant,
    expiresAt: instant,
    revokedAt: instant.nullable(),
    usesLeft: z.int(),
    /** The nodes that joined with it. */
    joined: z.array(z.object({ node: z.string(), at: instant })),
  })
  .meta({ id: "JoinToken" });
/** A token with which a machine may join. */
export type JoinToken = z.output<typeof joinTokenSchema>;

export const newJoinTokenSchema = z
  .object({
    ...joinTokenSchema.shape,
    token: z.string(),
    /** What to paste into a terminal of the machine. */
    line: z.string(),
  })
  .meta({ id: "NewJoinToken" });
/** A token that was just created, with its secret. */
export type NewJoinToken = z.output<typeof newJoinTokenSchema>;

const digest = z.string().regex(/^[0-9a-f]{64}$/, "must be a SHA-256 in lower-case hexadecimal");

export const joinRequest = z.strictObject({
  /** The name that the machine wants. In the tailnet and without a token, its name there is taken. */
  node: nodeName.optional(),
  /** SHA-256 of the key that the machine made. */
  digest,
  token: z
    .string()
    .regex(/^loomj_[\w-]{43}$/, "must be loomj_ and 43 characters")
    .optional(),
});

export const joinedSchema = z
  .object({
    node: z.string(),
    hub: z.object({ id: z.string(), url: z.string() }),
    database: z.object({ url: z.string(), publishableKey: z.string() }),
    /** The public half of the key that signs code. Null: this hub's nodes take no code. */
    codeKey: z.string().nullable(),
  })
  .meta({ id: "Joined" });
/** The settings that a machine needs to work as a node. */
export type Joined = z.output<typeof joinedSchema>;
