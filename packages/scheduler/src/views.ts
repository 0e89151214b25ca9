import type { Concurrency, Preference } from "@loom/workflow";

/**
 * The facts about a job that the scheduler reads. Only `requires` is mandatory. A fact that is left
 * out has no effect.
 */
export interface JobView {
  /** Clauses that its node must meet. */
  readonly requires: readonly string[];
  /** The node that it is pinned to. */
  readonly host?: string | null;
  /** Clauses that its node should meet if there is a choice. */
  readonly prefers?: readonly Preference[];
  /** The lowest goes first. Default 100. */
  readonly priority?: number;
  /** Runs take turns. All jobs of one workflow without a run count as one run. */
  readonly run?: string | null;
  readonly workflow?: string;
  /** The number of jobs of its run that already have a node. The run with the fewest goes first. */
  readonly runInFlight?: number;
  /** The nodes that ran earlier steps of its run. */
  readonly ranOn?: readonly string[];
  /** Nodes that gave it back before they started it, one entry for each time. */
  readonly declinedBy?: readonly string[];
  /** Nodes that were lost while they ran it, one entry for each time. */
  readonly crashedOn?: readonly string[];
  /**
   * Nodes that it is not placed on until `excludedUntil`, because they gave it back or were lost
   * with it too often.
   */
  readonly excluded?: readonly string[];
  /** When the excluded nodes are tried again. */
  readonly excludedUntil?: Date | null;
  /** Recent results of its step, by node. */
  readonly history?: readonly StepHistory[];
  /** At most `limit` jobs of one key run at a time. `running` (default 0) run now. */
  readonly concurrency?: (Concurrency & { readonly running?: number }) | null;
}

/** Recent results of a step on one node. */
export interface StepHistory {
  readonly node: string;
  readonly succeeded: number;
  readonly failed: number;
}

/** The facts about a node that the scheduler reads. Names are unique. */
export interface NodeView {
  readonly name: string;
  /**
   * Tags and `key=value`. A key may occur several times. Replace the array instead of changing it.
   */
  readonly capabilities: readonly string[];
  readonly online: boolean;
  /** Milliseconds since the node last reported; `null` if it never did. */
  readonly lastSeenMs: number | null;
  readonly status: "active" | "paused" | "draining";
  /** The number of jobs that it runs at a time. */
  readonly slots: number;
  /** How many of its slots are taken, by running and by offered jobs. */
  readonly busy: number;
  /** The path of its packets, if it is known. */
  readonly path?: "direct" | "relayed" | null;
}

/** The capability that only the node with this name offers. Nodes do not report it. */
export const nodeCapability = (name: string): string => `node=${name}`;

/** The capability of a hub's own node. The database adds it, and refuses it from nodes. */
export const HUB_CAPABILITY = "loom-hub";

const WORKFLOW = "workflow:";

/**
 * Returns the capability of nodes that have the code of a workflow; with a version, of nodes that
 * have exactly that code.
 */
export const workflowCapability = (name: string, version?: string): string =>
  version === undefined ? `${WORKFLOW}${name}` : `${WORKFLOW}${name}@${version}`;

/** The capability of nodes that accept code: they fetch any version of any workflow that they are to run. */
export const CODE_CAPABILITY = "code";

const MODULE = "code.module=";

/** The capability of nodes that have a native module, which code that travels cannot bring. */
export const moduleCapability = (name: string): string => `${MODULE}${name}`;

/** Parses {@link moduleCapability}. */
export const parseModuleCapability = (capability: string): string | undefined =>
  capability.startsWith(MODULE) ? capability.slice(MODULE.length) : undefined;

/** Parses {@link workflowCapability}. */
export function parseWorkflowCapability(
  capability: string,
): { name: string; version: string | undefined } | undefined {
  if (!capability.startsWith(WORKFLOW)) return undefined;
  const [name = "", version] = capability.slice(WORKFLOW.length).split("@");
  return { name, version };
}
