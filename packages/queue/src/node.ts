import { z } from "zod";
import { instant } from "./row.ts";

/** A machine with an agent, as the database knows it. */
export const node = z.object({
  name: z.string(),
  capabilities: z.array(z.string()),
  /** Rises when the capabilities change. */
  capabilitiesVersion: z.int(),
  slots: z.int(),
  /** Jobs it runs, and offers it has not claimed yet: both take slots. */
  running: z.int(),
  offered: z.int(),
  status: z.enum(["active", "paused", "draining"]),
  statusNote: z.string().nullable(),
  statusUntil: instant.nullable(),
  /** Its lease is valid by the database's clock. */
  online: z.boolean(),
  lastSeenMs: z.number().nullable(),
  epoch: z.int().nullable(),
  incarnation: z.string().nullable(),
  agentVersion: z.string().nullable(),
  tailnetAddress: z.string().nullable(),
  doorbellPort: z.int().nullable(),
  facts: z.record(z.string(), z.unknown()),
});
export type Node = z.output<typeof node>;

/** What an agent says about itself when it opens a session. */
export interface NodeReport {
  name: string;
  /** One start of one agent: a new UUID each time. */
  incarnation: string;
  /** 3 000 to 3 600 000: how long after its last heartbeat a node may be declared dead. */
  leaseMs: number;
  capabilities: readonly string[];
  slots: number;
  agentVersion?: string;
  tailnetAddress?: string;
  doorbellPort?: number;
  facts?: Readonly<Record<string, unknown>>;
}

export const helloAnswer = z.object({
  epoch: z.int(),
  leaseMs: z.int(),
  /** Jobs of the node's older epochs that were given back. */
  requeued: z.int(),
});
export type HelloAnswer = z.output<typeof helloAnswer>;

/** `dead`: the lease was lost, say hello again. `superseded`: another agent of this name is newer. */
const lostSession = z.object({ session: z.enum(["dead", "superseded"]) });

export const heartbeatAnswer = z.discriminatedUnion("session", [
  z.object({
    session: z.literal("live"),
    leaseMs: z.int(),
    status: z.enum(["active", "paused", "draining"]),
    /** What the database thinks this node runs. */
    held: z.array(z.object({ id: z.int(), fence: z.int() })),
    /** Ids of held jobs that somebody asked to cancel. */
    cancel: z.array(z.int()),
  }),
  lostSession,
]);
export type HeartbeatAnswer = z.output<typeof heartbeatAnswer>;

/** A session's identity: it goes with every call that an agent makes. */
export interface Session {
  node: string;
  epoch: number;
}

export { lostSession };
