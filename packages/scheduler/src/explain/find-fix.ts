import { valuesWanted } from "../requirement/evaluate.ts";
import { type Filter, passes } from "../rules/rule.ts";
import type { JobView, NodeView } from "../views.ts";

/** A change that lets a node take the job. */
export interface Fix<Job extends JobView = JobView, Node extends NodeView = NodeView> {
  /** The action of a person. */
  readonly action: string;
  /** The job and the node after the change. A node whose name is unknown is a new one. */
  readonly job: Job;
  readonly node: Node;
}

/** How many of the nearest nodes are tried before a new node is suggested. */
const TRIED = 8;

/**
 * Finds one change after which a node takes the job: to the nearest node, or else a new node.
 *
 * @param nearest - One node of each group, the group with the fewest failures first.
 */
export function findFix<Job extends JobView, Node extends NodeView>(
  job: Job,
  nearest: readonly Node[],
  filters: readonly Filter<Job, Node>[],
): Fix<Job, Node> | null {
  for (const node of nearest.slice(0, TRIED)) {
    const fix = fixAll(job, node, filters);
    if (fix !== undefined) return fix;
  }
  const name = job.host ?? valuesWanted(job.requires, "node")[0] ?? "another machine";
  if (nearest.some((node) => node.name === name)) return null;
  // The caller's own fields of a node are unknown here: filters that read them may refuse it.
  const newNode = { ...NEW_NODE, name } as NodeView as Node;
  const fix = fixAll(job, newNode, filters);
  const wanted = fix?.node.capabilities.join(", ");
  return fix === undefined
    ? null
    : { ...fix, action: `start an agent on ${name}${wanted ? `, offering ${wanted}` : ""}` };
}

const NEW_NODE = {
  capabilities: [],
  online: true,
  lastSeenMs: 0,
  status: "active",
  slots: 1,
  busy: 0,
} as const;

/**
 * Applies the fix of every filter that a node fails; `undefined` if the node still does not fit.
 */
function fixAll<Job extends JobView, Node extends NodeView>(
  job: Job,
  node: Node,
  filters: readonly Filter<Job, Node>[],
): Fix<Job, Node> | undefined {
  let fixed: Fix<Job, Node> = { action: "", job, node };
  const actions = new Set<string>();
  for (const { check, fix } of filters) {
    if (check(fixed.job, fixed.node).length === 0) continue;
    const change = fix?.(fixed.job, fixed.node);
    if (change === undefined) return undefined;
    actions.add(change.action);
    fixed = {
      action: [...actions].join(" and "),
      job: { ...fixed.job, ...change.job },
      node: { ...fixed.node, ...change.node },
    };
  }
  return passes(filters, fixed.job, fixed.node) ? fixed : undefined;
}
