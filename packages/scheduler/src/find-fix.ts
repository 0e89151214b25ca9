import type { Fix } from "./explanation.ts";
import type { JobView } from "./job-view.ts";
import type { NodeView } from "./node-view.ts";
import { valuesWanted } from "./requirement/evaluate.ts";
import type { Filter } from "./rule.ts";
import { passes } from "./rules.ts";

/** How many of the nearest nodes are tried before a new node is suggested. */
const TRIED = 8;

/**
 * Finds one change after which a node takes the job: of the nearest node, else a new node.
 *
 * @param nearest - One node of each kind that is known, the nearest first.
 */
export function findFix<Job extends JobView, Node extends NodeView>(
  job: Job,
  nearest: readonly Node[],
  filters: readonly Filter<Job, Node>[],
): Fix<Job, Node> | null {
  for (const node of nearest.slice(0, TRIED)) {
    const fix = mendAll(job, node, filters);
    if (fix !== undefined) return fix;
  }
  const name = job.host ?? valuesWanted(job.requires, "node")[0] ?? "another machine";
  if (nearest.some((node) => node.name === name)) return null;
  // What a node of one's own kind has beyond Loom's fields is not known: its filters may say no.
  const newcomer = { ...NEWCOMER, name } as NodeView as Node;
  const fix = mendAll(job, newcomer, filters);
  const wanted = fix?.node.capabilities.join(", ");
  return fix === undefined
    ? null
    : { ...fix, action: `start an agent on ${name}${wanted ? `, offering ${wanted}` : ""}` };
}

const NEWCOMER = {
  capabilities: [],
  online: true,
  lastSeenMs: 0,
  status: "active",
  slots: 1,
  busy: 0,
} as const;

/** Mends what speaks against a node, filter by filter; `undefined` where that does not help. */
function mendAll<Job extends JobView, Node extends NodeView>(
  job: Job,
  node: Node,
  filters: readonly Filter<Job, Node>[],
): Fix<Job, Node> | undefined {
  let fix: Fix<Job, Node> = { action: "", job, node };
  const actions = new Set<string>();
  for (const { check, mend } of filters) {
    if (check(fix.job, fix.node).length === 0) continue;
    const change = mend?.(fix.job, fix.node);
    if (change === undefined) return undefined;
    actions.add(change.action);
    fix = {
      action: [...actions].join(" and "),
      job: { ...fix.job, ...change.job },
      node: { ...fix.node, ...change.node },
    };
  }
  return passes(filters, fix.job, fix.node) ? fix : undefined;
}
