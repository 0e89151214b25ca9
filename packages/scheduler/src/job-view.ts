import type { Concurrency, Preference } from "@loom/workflow";

/**
 * What the scheduler has to know about a job. Only `requires` has to be there: what is left out
 * speaks neither for a node nor against it.
 */
export interface JobView {
  /** Clauses that its node has to meet. */
  readonly requires: readonly string[];
  /** The node it is pinned to. */
  readonly host?: string | null;
  /** Clauses that its node should meet if there is a choice. */
  readonly prefers?: readonly Preference[];
  /** Lower goes first. Default 100. */
  readonly priority?: number;
  /** Runs take turns. Jobs without a run take turns as one, a workflow. */
  readonly run?: string | null;
  readonly workflow?: string;
  /** How many jobs of its run have a node already: the run that has least goes first. */
  readonly runInFlight?: number;
  /** Nodes where earlier steps of its run ran. */
  readonly ranOn?: readonly string[];
  /** Nodes that gave it back unstarted, one entry each time. */
  readonly declinedBy?: readonly string[];
  /** Nodes that were lost while they ran it, one entry each time. */
  readonly crashedOn?: readonly string[];
  /** How its step fared lately, by node. */
  readonly history?: readonly StepHistory[];
  /** Of the jobs of one key, at most `limit` run at a time; `running` (default 0) do now. */
  readonly concurrency?: (Concurrency & { readonly running?: number }) | null;
}

/** How a step fared lately on one node. */
export interface StepHistory {
  readonly node: string;
  readonly succeeded: number;
  readonly failed: number;
}
