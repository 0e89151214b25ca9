/** What the scheduler has to know about a node. Names are unique. */
export interface NodeView {
  readonly name: string;
  /** Tags and `key=value`; a key may come several times. Replaced rather than changed in place. */
  readonly capabilities: readonly string[];
  readonly online: boolean;
  /** How long ago the node was heard from, in milliseconds; `null` for never. */
  readonly lastSeenMs: number | null;
  readonly status: "active" | "paused" | "draining";
  /** How many jobs it runs at a time. */
  readonly slots: number;
  /** How many of its slots are taken, by running and by offered jobs. */
  readonly busy: number;
  /** How its packets travel, where that is known. */
  readonly path?: "direct" | "relayed" | null;
}

/** The capability that only the node of this name offers; no node has to report it. */
export const nodeCapability = (name: string): string => `node=${name}`;

const WORKFLOW = "workflow:";

/**
 * The capability of nodes that have the code of a workflow; with a version, of those that have exactly
 * that code.
 */
export const workflowCapability = (name: string, version?: string): string =>
  version === undefined ? `${WORKFLOW}${name}` : `${WORKFLOW}${name}@${version}`;

/** Reads {@link workflowCapability} back. */
export function parseWorkflowCapability(
  capability: string,
): { name: string; version: string | undefined } | undefined {
  if (!capability.startsWith(WORKFLOW)) return undefined;
  const [name = "", version] = capability.slice(WORKFLOW.length).split("@");
  return { name, version };
}
