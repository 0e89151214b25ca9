import type { JobView } from "./job-view.ts";
import type { NodeView } from "./node-view.ts";
import type { Failure } from "./rules.ts";

/**
 * Whether and why a job has to wait.
 *
 * - `placeable`: a node takes it now.
 * - `no_nodes`: no node is known.
 * - `no_capable_node`: waiting will not help, no known node could ever run it.
 * - `no_version`: nodes could run it, had they the code of its workflow in its version.
 * - `excluded`: nodes could run it, and all of them gave it back or were lost with it too often.
 * - `no_capable_node_online`: nodes could run it, and all of them are offline.
 * - `no_capable_node_active`: nodes could run it, and those online are paused or draining.
 * - `concurrency_limit`: nodes could run it, and as many jobs of its concurrency key run as may.
 * - `no_capable_node_free`: nodes could run it, and those that are online and active are full.
 */
export type ReasonCode =
  | "placeable"
  | "no_nodes"
  | "no_capable_node"
  | "no_version"
  | "excluded"
  | "no_capable_node_online"
  | "no_capable_node_active"
  | "concurrency_limit"
  | "no_capable_node_free";

/** Why a job runs where it does, or nowhere: every filter and every clause, asked of every node. */
export interface Explanation<Job extends JobView = JobView, Node extends NodeView = NodeView> {
  readonly code: ReasonCode;
  /** One sentence for a person. */
  readonly summary: string;
  /** How many nodes are known, and how many of them take the job now. */
  readonly known: number;
  readonly eligible: number;
  /** What the job requires, in its order, and how many nodes meet it. */
  readonly clauses: readonly { readonly clause: string; readonly met: number }[];
  /** Clauses that no known node meets. */
  readonly missing: readonly string[];
  /** Every node, by name; none where more than 50 are known: see `groups`, or ask about one node. */
  readonly nodes: readonly NodeReport[];
  /** Nodes that the same things speak against, the largest group first. */
  readonly groups: readonly NodeGroup[];
  /** The node that least speaks against; `null` when one takes the job, and when none is known. */
  readonly nearest: Pick<NodeReport, "node" | "verdict" | "failures"> | null;
  /** One change after which a node takes the job; `null` when one does now, and when none is known. */
  readonly fix: Fix<Job, Node> | null;
  /** Names that may have been meant, for clauses and hosts that nobody knows. */
  readonly didYouMean: readonly { readonly written: string; readonly known: readonly string[] }[];
}

/**
 * What a node says to a job: `eligible`, or what would have to change first. `ineligible`: it could not
 * run it; `version`: it could, with other code; `unavailable`: a filter of one's own keeps it from it.
 */
export type NodeVerdict =
  | "eligible"
  | "ineligible"
  | "version"
  | "excluded"
  | "offline"
  | "draining"
  | "paused"
  | "limited"
  | "full"
  | "unavailable";

export interface NodeReport {
  readonly node: string;
  readonly verdict: NodeVerdict;
  /** From 0 to 1; `null` where something speaks against it. */
  readonly score: number | null;
  /** Everything that speaks against it. */
  readonly failures: readonly Failure[];
  /** Every clause, met or not, with what the node offers for it. */
  readonly clauses: readonly {
    readonly clause: string;
    readonly met: boolean;
    readonly seen: readonly string[];
  }[];
}

export interface NodeGroup {
  readonly verdict: NodeVerdict;
  /** Those of its first node; figures in the reasons of the others may differ. */
  readonly failures: readonly Failure[];
  readonly count: number;
  /** The first of them, by name. */
  readonly nodes: readonly string[];
}

/** A change after which a node takes the job. */
export interface Fix<Job extends JobView = JobView, Node extends NodeView = NodeView> {
  /** What somebody would do. */
  readonly action: string;
  /** The job and the node after it. A node of a name that is not known yet is a new one. */
  readonly job: Job;
  readonly node: Node;
}
