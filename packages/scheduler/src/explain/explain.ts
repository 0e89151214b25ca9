import { readClause, seenOf, unmetClauses } from "../requirement/evaluate.ts";
import { defaultRules } from "../rules/default-rules.ts";
import {
  applyFilters,
  type FilterFailure,
  pointsOf,
  type Rules,
  scoreScale,
} from "../rules/rule.ts";
import type { JobView, NodeView } from "../views.ts";
import { diagnose, type ReasonCode } from "./diagnose.ts";
import { didYouMean } from "./did-you-mean.ts";
import type { Fix } from "./find-fix.ts";
import {
  countNodes,
  type Eligibility,
  eligibilityOf,
  groupNodes,
  lacks,
  type NodeGroup,
} from "./node-groups.ts";

/**
 * Why a job runs on a node, or on none: the result of every filter and every clause for every node.
 */
export interface Explanation<Job extends JobView = JobView, Node extends NodeView = NodeView> {
  readonly code: ReasonCode;
  /** One sentence for a person. */
  readonly summary: string;
  /** How many nodes are known, and how many of them take the job now. */
  readonly known: number;
  readonly eligible: number;
  /** The job's requirements in their order, each with the number of nodes that meet it. */
  readonly clauses: readonly { readonly clause: string; readonly met: number }[];
  /** Clauses that no known node meets. */
  readonly missing: readonly string[];
  /** Every node by name. Empty if more than 50 are known: see `groups`, or ask about one node. */
  readonly nodes: readonly NodeExplanation[];
  /** Nodes with the same failing clauses, the largest group first. */
  readonly groups: readonly NodeGroupExplanation[];
  /** The node with the fewest failures; `null` if a node takes the job, and if none is known. */
  readonly nearest: Pick<NodeExplanation, "node" | "eligibility" | "failures"> | null;
  /**
   * One change that lets a node take the job; `null` if a node takes it now, or if no fix is known.
   */
  readonly fix: Fix<Job, Node> | null;
  /** Similar known names for unknown ones in clauses and hosts. */
  readonly didYouMean: readonly { readonly written: string; readonly known: readonly string[] }[];
}

/** Whether and why one node takes a job. */
export interface NodeExplanation {
  readonly node: string;
  readonly eligibility: Eligibility;
  /** From 0 to 1; `null` if a filter refuses the node. */
  readonly score: number | null;
  readonly failures: readonly FilterFailure[];
  /** Every clause, met or not, with what the node offers for it. */
  readonly clauses: readonly {
    readonly clause: string;
    readonly met: boolean;
    readonly seen: readonly string[];
  }[];
}

/** Nodes with the same failing clauses. */
export interface NodeGroupExplanation {
  readonly eligibility: Eligibility;
  /** The failures of its first node. Numbers in the reasons of the others may differ. */
  readonly failures: readonly FilterFailure[];
  readonly count: number;
  /** The first of them by name. */
  readonly nodes: readonly string[];
}

/** Above this number, nodes are reported in groups only. */
const MAX_REPORTED = 50;
/** Names in the report of a group. */
const MAX_NAMED = 8;

/**
 * Explains why a job runs on a node, or on none.
 *
 * It applies the same rules as {@link place}, so the two cannot disagree: a job that is alone in a
 * batch is placed exactly when a node is `eligible` here.
 */
export function explain<Job extends JobView, Node extends NodeView>(
  job: Job,
  known: readonly Node[],
  { rules = defaultRules }: { rules?: Rules<Job, Node> } = {},
): Explanation<Job, Node> {
  const nodes = known.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const groups = groupNodes(job, nodes, rules.filters).sort(
    (a, b) => b.nodes.length - a.nodes.length,
  );
  const { code, summary, missing, nearest, fix } = diagnose(job, nodes, groups, rules.filters);
  const [first] = nearest;
  return {
    code,
    summary,
    known: nodes.length,
    eligible: countNodes(groups.filter(({ eligibility }) => eligibility === "eligible")),
    clauses: job.requires.map((clause) => ({
      clause,
      met: countNodes(groups.filter((group) => !lacks(group, clause))),
    })),
    missing,
    nodes: nodes.length > MAX_REPORTED ? [] : nodes.map((node) => reportNode(job, node, rules)),
    groups: groups.map((group) => ({
      eligibility: group.eligibility,
      failures: group.failures,
      count: group.nodes.length,
      nodes: group.nodes.slice(0, MAX_NAMED).map(({ name }) => name),
    })),
    nearest: first === undefined ? null : nearestOf(first),
    fix,
    didYouMean: code === "placeable" ? [] : didYouMean(job, nodes, missing),
  };
}

const nearestOf = ({ eligibility, failures, nodes }: NodeGroup<NodeView>) => ({
  node: nodes[0]?.name ?? "",
  eligibility,
  failures,
});

function reportNode<Job extends JobView, Node extends NodeView>(
  job: Job,
  node: Node,
  { filters, scorers }: Rules<Job, Node>,
): NodeExplanation {
  const failures = applyFilters(filters, job, node);
  const unmet = unmetClauses(job.requires, node);
  return {
    node: node.name,
    eligibility: eligibilityOf(failures),
    score: failures.length === 0 ? scoreScale(scorers)(pointsOf(scorers, job, node)) : null,
    failures,
    clauses: job.requires.map((text) => {
      const clause = readClause(text);
      return { clause: text, met: !unmet.includes(text), seen: clause ? seenOf(clause, node) : [] };
    }),
  };
}
