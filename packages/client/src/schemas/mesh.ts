import { z } from "zod";

const path = z.union([
  z.object({ kind: z.enum(["direct", "peer-relay"]), endpoint: z.string() }),
  z.object({ kind: z.literal("relay"), region: z.string() }),
  z.null(),
]);

/** The report of a node's agent in the database. */
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
  /** The state that the control server reports; false also means unknown. */
  online: z.boolean(),
  isHub: z.boolean(),
  keyExpired: z.boolean(),
  /** Null when idle: nothing was sent to it recently. */
  path,
  /** Null when no ping was requested, or the machine was not pinged. */
  ping: z.union([
    z.object({ reached: z.literal(true), latencyMs: z.number(), path }),
    z.object({ reached: z.literal(false), reason: z.string() }),
    z.null(),
  ]),
  /** Null for a machine without an agent. */
  agent: z.union([agent, z.null()]),
});

export const meshSchema = z
  .object({
    /** Null while Tailscale answers. Otherwise the reason, and `machines` is empty. */
    unknown: z.string().nullable(),
    machines: z.array(machine),
    /** Agents whose machines the tailnet does not know. */
    elsewhere: z.array(agent),
  })
  .meta({ id: "Mesh" });

export type Mesh = z.output<typeof meshSchema>;
