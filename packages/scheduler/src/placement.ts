import type { Filter } from "./filter.ts";

/** The node chosen for a step, or why there is none; a plain value that can be stored. */
export type Placement = Placed | Refusal;

/** A step has a node. */
export interface Placed {
  readonly placed: true;
  readonly node: string;
  /** From 0 to 1. */
  readonly score: number;
  /** Every node that fits, the chosen one first: by score, then by name. */
  readonly eligible: readonly { readonly node: string; readonly score: number }[];
  readonly rejected: readonly Rejection[];
}

/** A step has no node. */
export interface Refusal {
  readonly placed: false;
  readonly code: RefusalCode;
  /** One sentence for a person. */
  readonly summary: string;
  /** Clauses that no known node meets. */
  readonly missing: readonly string[];
  readonly rejected: readonly Rejection[];
}

/**
 * - `no_nodes`: no node is known.
 * - `no_capable_node`: waiting will not help, no known node could ever run the step.
 * - `no_capable_node_online`: nodes could run it, and all of them are offline.
 * - `no_capable_node_free`: nodes could run it, and those that are online take nothing now: they
 *   are full, paused or draining.
 */
export type RefusalCode =
  | "no_nodes"
  | "no_capable_node"
  | "no_capable_node_online"
  | "no_capable_node_free";

/** A node that does not fit, with everything that speaks against it; sorted by name. */
export interface Rejection {
  readonly node: string;
  readonly failures: readonly Failure[];
}

/** One filter's no. */
export interface Failure {
  readonly filter: string;
  readonly about: Filter["about"];
  /**
   * Stable. Those of Loom's filters: `offline`, `paused`, `draining`, `wrong_host`,
   * `missing_capability`, `full`.
   */
  readonly code: string;
  /** What follows the node's name in a sentence: `is full (2/2 slots)`. */
  readonly reason: string;
  /** Clauses that this node does not meet. */
  readonly missing?: readonly string[];
}
