import { type AlikeNodes, countNodes } from "./alike-nodes.ts";
import type { ReasonCode } from "./explanation.ts";
import type { JobView } from "./job-view.ts";
import { isLasting } from "./node-verdict.ts";
import type { NodeView } from "./node-view.ts";
import { isCapable } from "./reason-code.ts";
import type { Filter } from "./rule.ts";
import { type Failure, judge } from "./rules.ts";

/** What a sentence is made of. */
export interface Findings<Job extends JobView, Node extends NodeView> {
  readonly job: Job;
  readonly code: ReasonCode;
  readonly groups: readonly AlikeNodes<Node>[];
  /** All nodes, by name. */
  readonly nodes: readonly Node[];
  /** Clauses that no node meets. */
  readonly missing: readonly string[];
  readonly filters: readonly Filter<Job, Node>[];
}

/** Says in one sentence what all nodes together come to. */
export function summarize<Job extends JobView, Node extends NodeView>(
  findings: Findings<Job, Node>,
): string {
  const { code, groups } = findings;
  const those = (verdict: string) => groups.filter((group) => group.verdict === verdict);
  switch (code) {
    case "no_nodes":
      return "no node is known";
    case "placeable":
      return `${count(those("eligible"))} can take it now`;
    case "no_version":
      return `no node has its code: ${list(findings, those("version"), isLasting)}`;
    case "excluded":
      return `no node is left to try: ${list(findings, those("excluded"), isLasting)}`;
    case "no_capable_node":
      return incapable(findings);
    default: {
      const capable = groups.filter(isCapable);
      return `${count(capable)} could run it: ${list(findings, capable, () => true)}`;
    }
  }
}

/** Why no node could ever run the job, leaving out what would pass by itself. */
function incapable<Job extends JobView, Node extends NodeView>(
  findings: Findings<Job, Node>,
): string {
  const { job, groups, missing, nodes } = findings;
  const names = `(nodes: ${shorten(
    nodes.slice(0, LISTED).map(({ name }) => name),
    nodes.length,
  )})`;
  const named = groups.filter(({ failures }) =>
    failures.every(({ code }) => code !== "wrong_host"),
  );
  if (named.length === 0) {
    return `the step is pinned to ${job.host}, and no known node has that name ${names}`;
  }
  if (named.length < groups.length) {
    return `the step is pinned to a node that cannot run it: ${list(findings, named, isLasting)}`;
  }
  if (missing.length > 0) return `no known node offers ${missing.join(", ")} ${names}`;
  return `none of ${count(groups)} could run it: ${list(findings, groups, isLasting)}`;
}

function count(groups: readonly AlikeNodes<NodeView>[]): string {
  const nodes = countNodes(groups);
  return nodes === 1 ? "1 node" : `${nodes} nodes`;
}

// A person reads the first few; the rest is counted.
const LISTED = 8;

/** What speaks against each node; where they are many, how many there are of each kind. */
function list<Job extends JobView, Node extends NodeView>(
  { job, filters }: Findings<Job, Node>,
  groups: readonly AlikeNodes<Node>[],
  isTold: (failure: Failure) => boolean,
): string {
  if (countNodes(groups) <= LISTED) {
    return groups
      .flatMap(({ nodes }) => nodes)
      .sort((a, b) => (a.name < b.name ? -1 : 1))
      .map((node) => {
        const reasons = judge(filters, job, node).filter(isTold);
        return `${node.name} ${reasons.map(({ reason }) => reason).join(" and ")}`;
      })
      .join(", ");
  }
  const tally = new Map<string, number>();
  for (const { failures, nodes } of groups) {
    const codes = new Set(failures.filter(isTold).map(({ code }) => code.replaceAll("_", " ")));
    const kind = [...codes].join(" and ");
    tally.set(kind, (tally.get(kind) ?? 0) + nodes.length);
  }
  const kinds = [...tally]
    .sort(([kind1, a], [kind2, b]) => b - a || (kind1 < kind2 ? -1 : 1))
    .map(([kind, nodes]) => `${nodes} ${kind}`);
  return shorten(kinds.slice(0, LISTED), kinds.length);
}

const shorten = (shown: readonly string[], of: number): string =>
  of > shown.length ? `${shown.join(", ")} and ${of - shown.length} more` : shown.join(", ");
