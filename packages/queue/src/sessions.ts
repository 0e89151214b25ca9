import { z } from "zod";
import { type NameHolder, NodeNameInUseError } from "./errors.ts";
import { nodeStatus } from "./nodes.ts";
import { type Call, toStorable } from "./transport/call.ts";
import { row } from "./transport/rows.ts";

/** The calls of a node, from its hello on. */
export interface Sessions {
  /**
   * Opens a node's session. Jobs of an older incarnation of the node go back at once.
   *
   * @throws NodeNameInUseError while another machine holds the name.
   * @see sql/sessions.sql
   */
  hello(report: NodeReport): Promise<HelloAnswer>;

  /**
   * Changes what the node offers. If its capabilities change, offers with requirements are placed
   * again.
   *
   * @see sql/sessions.sql
   */
  reportNode(session: Session, report: NodeProfile): Promise<ReportAnswer>;

  /** Renews the lease of all the node's running jobs. @see sql/sessions.sql */
  heartbeat(session: Session): Promise<HeartbeatAnswer>;

  /**
   * Gives back offers that the node refuses before it claims them.
   *
   * @returns The ids of those that were still its offers.
   * @see sql/offers.sql
   */
  decline(node: string, jobIds: readonly number[], reason: string): Promise<number[]>;
}

export const sessions = (call: Call): Sessions => ({
  async hello(report) {
    const { machine } = report;
    const args = {
      p_node: report.name,
      p_incarnation: report.incarnation,
      p_lease_ms: report.leaseMs,
      p_agent_version: report.agentVersion ?? null,
      ...toProfile(report),
      ...(machine && {
        p_machine: machine.id,
        p_boot: machine.boot ?? null,
        p_up_ms: machine.upMs,
        p_host: machine.host,
      }),
      ...(report.isHub && { p_is_hub: true }),
    };
    const answer = await call("loom_hello", args, row(helloAnswer));
    if ("refused" in answer) throw new NodeNameInUseError(report.name, answer.heldBy);
    return answer;
  },

  reportNode: ({ node: name, epoch }, report) =>
    call(
      "loom_report_node",
      { p_node: name, p_epoch: epoch, ...toProfile(report) },
      row(reportAnswer),
    ),

  heartbeat: ({ node: name, epoch }) =>
    call("loom_heartbeat", { p_node: name, p_epoch: epoch }, row(heartbeatAnswer)),

  async decline(name, jobIds, reason) {
    const args = { p_node: name, p_jobs: jobIds, p_reason: toStorable(reason) };
    const { declined } = await call(
      "loom_decline_jobs",
      args,
      z.object({ declined: z.array(z.int()) }),
    );
    return declined;
  },
});

/** Identifies a session in every call of an agent. */
export interface Session {
  node: string;
  epoch: number;
}

/** The report of an agent when it opens a session. */
export interface NodeReport extends NodeProfile {
  name: string;
  /** One start of one agent: a new UUID each time. */
  incarnation: string;
  /** 3 000 to 3 600 000: how long after its last heartbeat a node may be declared dead. */
  leaseMs: number;
  agentVersion?: string;
  /**
   * The machine that the agent runs on. While a node's lease is valid, only its own machine may
   * open another session. Nodes that leave it out count as one machine.
   */
  machine?: NodeMachine | undefined;
  /** Whether it is a hub's own node and offers `loom-hub`. */
  isHub?: boolean | undefined;
}

/** The identity of a machine. */
export interface NodeMachine {
  /** A UUID that the machine keeps. */
  id: string;
  /**
   * A UUID of this start of its kernel, which no copy of the machine has; undefined if the system
   * has none.
   */
  boot: string | undefined;
  /** How long the machine has been up, in milliseconds. */
  upMs: number;
  /** The host name, for people. */
  host: string;
}

/** A node's capabilities, slots and wake address. They may change while its agent runs. */
export interface NodeProfile {
  capabilities: readonly string[];
  slots: number;
  /** The address of its wake server. */
  tailnetAddress?: string | undefined;
  wakePort?: number | undefined;
  facts?: Readonly<Record<string, unknown>> | undefined;
}

const toProfile = (profile: NodeProfile) => ({
  p_capabilities: profile.capabilities,
  p_slots: profile.slots,
  p_tailnet_address: profile.tailnetAddress ?? null,
  p_wake_port: profile.wakePort ?? null,
  p_facts: profile.facts ?? {},
});

const opened = z.object({
  epoch: z.int(),
  leaseMs: z.int(),
  /** The number of jobs of the node's older epochs that were given back. */
  requeued: z.int(),
  /** The database's own id, as in `describeDatabase`. */
  database: z.uuid(),
});

export type HelloAnswer = z.output<typeof opened>;

const nameHolder: z.ZodType<NameHolder> = z.object({
  machine: z.uuid().nullable(),
  host: z.string().nullable(),
  isCopy: z.boolean(),
  isHere: z.boolean(),
  tailnetAddress: z.string().nullable(),
  leaseLeftMs: z.number(),
});

const helloAnswer = z.union([
  opened,
  z.object({ refused: z.literal("NODE_NAME_IN_USE"), heldBy: row(nameHolder) }),
]);

/**
 * `dead`: the lease was lost; say hello again. `superseded`: another agent with this name is newer.
 */
const lostSession = z.object({ session: z.enum(["dead", "superseded"]) });

const reportAnswer = z.discriminatedUnion("session", [
  z.object({
    session: z.literal("live"),
    /** The number of offers that were taken back, to be placed again on the new capabilities. */
    returned: z.int(),
  }),
  lostSession,
]);

export type ReportAnswer = z.output<typeof reportAnswer>;

export const heartbeatAnswer = z.discriminatedUnion("session", [
  z.object({
    session: z.literal("live"),
    leaseMs: z.int(),
    status: nodeStatus,
    /** Whether the deadline of a drain has passed and running jobs have to go back. */
    giveBack: z.boolean().optional(),
    /** The time until a pause ends by itself, or until the deadline of a drain, in milliseconds. */
    statusEndsMs: z.number().nullable().optional(),
    /** Whether there is something to claim: offers, or jobs that are pinned to the node. */
    hasOffers: z.boolean(),
    /** The id of an order to take the hub's agent, once it is this node's turn. */
    upgrade: z.uuid().nullable().optional(),
    /** The jobs that this node runs, according to the database. */
    held: z.array(z.object({ id: z.int(), fence: z.int() })),
    /** The ids of held jobs that are to be cancelled. */
    cancel: z.array(z.int()),
  }),
  lostSession,
]);

export type HeartbeatAnswer = z.output<typeof heartbeatAnswer>;
