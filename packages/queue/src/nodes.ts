import { z } from "zod";
import { NodeNotFoundError } from "./errors.ts";
import { type Call, toStorable } from "./transport/call.ts";
import { instant, row, rows } from "./transport/rows.ts";

/** The nodes, as a hub sees them. */
export interface Nodes {
  /** Lists every node by name. @see sql/nodes.sql */
  listNodes(): Promise<Node[]>;

  /** Describes a node as it may see itself; null before its first hello. @see sql/nodes.sql */
  describeNode(node: string): Promise<NodeDescription | null>;

  /**
   * Lists the wake servers of online nodes that have something to claim or a job to cancel, by
   * name.
   *
   * @param options.named - Further nodes to list, because their orders have changed.
   * @see sql/nodes.sql
   */
  listWakeAddresses(options?: { named?: readonly string[] }): Promise<NodeWakeAddress[]>;

  /**
   * Pauses a node, drains it, or makes it active again. Its offers are placed elsewhere at once.
   * Running jobs go on, until the deadline of a drain.
   *
   * @returns How many offers were taken back.
   * @throws NodeNotFoundError
   * @throws QueueRequestError `INVALID_ARGUMENT`.
   * @see sql/nodes.sql
   */
  setNodeStatus(node: string, change: NodeStatusChange): Promise<{ returned: number }>;

  /**
   * Orders nodes to take the agent that their hub has, one after the other. They learn of it with a heartbeat.
   *
   * @param order - A new UUID. A node that has tried the same agent in vain tries again.
   * @returns The nodes that have the order now; null when none of them is known.
   * @see sql/upgrades.sql
   */
  orderUpgrade(nodes: readonly string[], order: string): Promise<{ ordered: string[] } | null>;
}

export const nodes = (call: Call): Nodes => ({
  listNodes: () => call("loom_list_nodes", {}, nodeRows),

  describeNode: (name) =>
    call("loom_describe_node", { p_node: name }, row(nodeDescription).nullable()),

  listWakeAddresses: ({ named = [] } = {}) =>
    call("loom_list_wake_addresses", { p_nodes: named }, rows(wakeServer)),

  async setNodeStatus(name, { status, note, forMs }) {
    // No node can have an invalid name.
    if (!NODE_NAME.test(name)) throw new NodeNotFoundError(name);
    const args = {
      p_node: name,
      p_status: status,
      p_note: note === undefined ? null : toStorable(note),
      p_for_ms: forMs ?? null,
    };
    const answers = z.object({ returned: z.int() }).nullable();
    const set = await call("loom_set_node_status", args, answers);
    if (!set) throw new NodeNotFoundError(name);
    return set;
  },

  orderUpgrade: (names, order) =>
    call(
      "loom_order_upgrade",
      { p_nodes: names, p_order: order },
      z.object({ ordered: z.array(z.string()) }).nullable(),
    ),
});

/** @see sql/nodes.sql */
const NODE_NAME = /^[a-z0-9][a-z0-9._-]{0,62}$/;

/** `active`: takes work. `paused` and `draining`: takes no new work; running jobs go on. */
export const nodeStatus = z.enum(["active", "paused", "draining"]);

export type NodeStatus = z.output<typeof nodeStatus>;

/** A machine with an agent, as the database knows it. */
const node = z.object({
  name: z.string(),
  capabilities: z.array(z.string()),
  /** The names that it declares and that its key does not let it offer. */
  askedCapabilities: z.array(z.string()),
  /** Rises when the capabilities change. */
  capabilitiesVersion: z.int(),
  slots: z.int(),
  /** The jobs that it runs and the offers that it has not claimed yet. Both take slots. */
  running: z.int(),
  offered: z.int(),
  status: nodeStatus,
  statusNote: z.string().nullable(),
  statusUntil: instant.nullable(),
  /** Whether its lease is valid by the database's clock. */
  online: z.boolean(),
  lastSeenMs: z.number().nullable(),
  epoch: z.int().nullable(),
  incarnation: z.string().nullable(),
  agentVersion: z.string().nullable(),
  /** The order to take the hub's agent that it has not carried out. */
  upgradeOrder: z.uuid().nullable(),
  tailnetAddress: z.string().nullable(),
  wakePort: z.int().nullable(),
  /**
   * Identifies the start of its machine's kernel, as the node reported it. A process that knows it
   * is on that machine, so it is never shown.
   */
  boot: z.uuid().nullable(),
  facts: z.record(z.string(), z.unknown()),
});

export type Node = z.output<typeof node>;

export const nodeRows = rows(node);

const nodeDescription = node.pick({
  name: true,
  status: true,
  statusNote: true,
  capabilities: true,
  askedCapabilities: true,
  online: true,
  lastSeenMs: true,
});

export type NodeDescription = z.output<typeof nodeDescription>;

/** The new status of a node. */
export interface NodeStatusChange {
  status: NodeStatus;
  /** The reason for people, up to 2 000 characters. An active node has none. */
  note?: string | undefined;
  /** How long until a pause ends by itself, or until the deadline of a drain; up to a year. */
  forMs?: number | undefined;
}

/** The address to wake a node that has something to claim. */
export const wakeServer = node.pick({ name: true, tailnetAddress: true, boot: true }).extend({
  wakePort: z.int(),
});

export type NodeWakeAddress = z.output<typeof wakeServer>;
