import { z } from "@hono/zod-openapi";

const path = z.union([
  z.object({ kind: z.enum(["direct", "peer-relay"]), endpoint: z.string() }),
  z.object({ kind: z.literal("relay"), region: z.string() }),
  z.null(),
]);

/** What a node's agent says of itself in the database. */
const agent = z.object({
  node: z.string(),
  online: z.boolean(),
  status: z.enum(["active", "paused", "draining"]),
  lastSeenMs: z.number().nullable(),
  agentVersion: z.string().nullable(),
});

const machine = z.object({
  name: z.string(),
  address: z.string().nullable(),
  os: z.string(),
  /** The control server's view; what it does not know is false too. */
  online: z.boolean(),
  isHub: z.boolean(),
  keyExpired: z.boolean(),
  /** Null when idle: nothing was sent to it lately. */
  path,
  /** Null when nobody asked for it, or it was not asked. */
  ping: z.union([
    z.object({ reached: z.literal(true), latencyMs: z.number(), path }),
    z.object({ reached: z.literal(false), reason: z.string() }),
    z.null(),
  ]),
  /** Null for a machine without an agent. */
  agent: z.union([agent, z.null()]),
});

export const meshView = z
  .object({
    /** Null while Tailscale answers; else why it does not, and `machines` is empty. */
    unknown: z.string().nullable(),
    machines: z.array(machine),
    /** Agents whose machines the tailnet does not know. */
    elsewhere: z.array(agent),
  })
  .openapi("Mesh");

export type MeshView = z.output<typeof meshView>;
