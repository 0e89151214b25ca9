/** What the scheduler has to know about a node. Names are unique. */
export interface NodeView {
  readonly name: string;
  readonly capabilities: readonly string[];
  readonly online: boolean;
  /** How long ago the node was heard from, in milliseconds; `null` for never. */
  readonly lastSeenMs: number | null;
  readonly status: "active" | "paused" | "draining";
  /** How many jobs it runs at a time. */
  readonly slots: number;
  /** How many of its slots are taken, by running and by offered jobs. */
  readonly busy: number;
}

/** Everything a node offers: what it reports, and that it is itself (`node=<name>`). */
export const capabilitiesOf = ({
  name,
  capabilities,
}: Pick<NodeView, "name" | "capabilities">): readonly string[] => [
  ...capabilities,
  nodeCapability(name),
];

/** The capability that only the node of this name offers. */
export const nodeCapability = (name: string): string => `node=${name}`;

/** The capability of nodes that have the code of a workflow. */
export const workflowCapability = (name: string): string => `workflow:${name}`;
