import { z } from "zod";
import type { Call } from "./call.ts";
import { NodeNotFoundError } from "./errors.ts";
import { doorbell, type Node, type NodeDoorbell, type NodeStatusChange, node } from "./node.ts";
import { row } from "./row.ts";
import { toStorable } from "./storable-text.ts";

/** The nodes, as a hub sees them. */
export interface Nodes {
  /** Every node, by name. @see sql/list_nodes.sql */
  listNodes(): Promise<Node[]>;

  /**
   * The doorbells of nodes that are online and have something to claim, by name.
   *
   * @see sql/list_doorbells.sql
   */
  listDoorbells(): Promise<NodeDoorbell[]>;

  /**
   * Pauses a node, drains it, or makes it active again. Its offers are placed elsewhere at once;
   * what it runs goes on, until the deadline of a drain.
   *
   * @returns How many offers were taken back.
   * @throws NodeNotFoundError
   * @throws QueueRequestError `INVALID_ARGUMENT`.
   * @see sql/set_node_status.sql
   */
  setNodeStatus(node: string, change: NodeStatusChange): Promise<{ returned: number }>;
}

export const nodes = (call: Call): Nodes => ({
  listNodes: () => call("loom_list_nodes", {}, z.array(row(node))),

  listDoorbells: () => call("loom_list_doorbells", {}, z.array(row(doorbell))),

  async setNodeStatus(name, { status, note, forMs }) {
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
});
