import { z } from "zod";
import { instant } from "./row.ts";

/** `active`: takes work. `paused`, `draining`: takes none, and goes on with what it runs. */
const nodeStatus = z.enum(["active", "paused", "draining"]);
export type NodeStatus = z.output<typeof nodeStatus>;

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
  status: nodeStatus,
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

/** What a node offers; it may change while its agent runs. */
export interface NodeOffer {
  capabilities: readonly string[];
  slots: number;
  /** Where its doorbell is. */
  tailnetAddress?: string | undefined;
  doorbellPort?: number | undefined;
  facts?: Readonly<Record<string, unknown>> | undefined;
}

/** What an agent says about itself when it opens a session. */
export interface NodeReport extends NodeOffer {
  name: string;
  /** One start of one agent: a new UUID each time. */
  incarnation: string;
  /** 3 000 to 3 600 000: how long after its last heartbeat a node may be declared dead. */
  leaseMs: number;
  agentVersion?: string;
}

export const helloAnswer = z.object({
  epoch: z.int(),
  leaseMs: z.int(),
  /** Jobs of the node's older epochs that were given back. */
  requeued: z.int(),
});
export type HelloAnswer = z.output<typeof helloAnswer>;

/** What a node is to be from now on. */
export interface NodeStatusChange {
  status: NodeStatus;
  /** Why, for people; up to 2 000 characters. An active node has none. */
  note?: string | undefined;
  /** When a pause ends by itself, or the deadline of a drain; up to a year. */
  forMs?: number | undefined;
}

/** Where a node that has something to claim can be rung. */
export const doorbell = node.pick({ name: true, tailnetAddress: true }).extend({
  doorbellPort: z.int(),
});
export type NodeDoorbell = z.output<typeof doorbell>;

/** `dead`: the lease was lost, say hello again. `superseded`: another agent of this name is newer. */
const lostSession = z.object({ session: z.enum(["dead", "superseded"]) });

export const heartbeatAnswer = z.discriminatedUnion("session", [
  z.object({
    session: z.literal("live"),
    leaseMs: z.int(),
    status: nodeStatus,
    /** The deadline of a drain has passed: what still runs is to be given back. */
    giveBack: z.boolean().optional(),
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

export const reportAnswer = z.discriminatedUnion("session", [
  z.object({
    session: z.literal("live"),
    /** Offers that were taken back, to be placed again on what the node offers now. */
    returned: z.int(),
  }),
  lostSession,
]);
export type ReportAnswer = z.output<typeof reportAnswer>;

export { lostSession };
