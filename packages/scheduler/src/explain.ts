import { type AlikeNodes, countNodes, groupAlike } from "./alike-nodes.ts";
import { diagnose, lacks } from "./diagnose.ts";
import { didYouMean } from "./did-you-mean.ts";
import type { Explanation, NodeReport } from "./explanation.ts";
import type { JobView } from "./job-view.ts";
import { nodeVerdict } from "./node-verdict.ts";
import type { NodeView } from "./node-view.ts";
import { readClause, seenOf, unmetClauses } from "./requirement/evaluate.ts";
import { defaultRules, judge, pointsOf, type Rules, scoreScale } from "./rules.ts";

/** Above, nodes are told by group. */
const MAX_REPORTED = 50;
/** Names told of a group. */
const MAX_NAMED = 8;

/**
 * Explains why a job runs where it does, or nowhere.
 *
 * It asks the rules that {@link place} asks, so the two cannot disagree: a job alone in a batch is placed
 * exactly when a node is `eligible` here.
 */
export function explain<Job extends JobView, Node extends NodeView>(
  job: Job,
  known: readonly Node[],
  { rules = defaultRules }: { rules?: Rules<Job, Node> } = {},
): Explanation<Job, Node> {
  const nodes = known.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const groups = groupAlike(job, nodes, rules.filters).sort(
    (a, b) => b.nodes.length - a.nodes.length,
  );
  const { code, summary, missing, nearest, fix } = diagnose(job, nodes, groups, rules.filters);
  const [first] = nearest;
  return {
    code,
    summary,
    known: nodes.length,
    eligible: countNodes(groups.filter(({ verdict }) => verdict === "eligible")),
    clauses: job.requires.map((clause) => ({
      clause,
      met: countNodes(groups.filter((group) => !lacks(group, clause))),
    })),
    missing,
    nodes: nodes.length > MAX_REPORTED ? [] : nodes.map((node) => report(job, node, rules)),
    groups: groups.map((group) => ({
      verdict: group.verdict,
      failures: group.failures,
      count: group.nodes.length,
      nodes: namesOf(group),
    })),
    nearest: first === undefined ? null : nearestOf(first),
    fix,
    didYouMean: code === "placeable" ? [] : didYouMean(job, nodes, missing),
  };
}

const namesOf = ({ nodes }: AlikeNodes<NodeView>): string[] =>
  nodes.slice(0, MAX_NAMED).map(({ name }) => name);

const nearestOf = ({ verdict, failures, nodes }: AlikeNodes<NodeView>) => ({
  node: nodes[0]?.name ?? "",
  verdict,
  failures,
});

function report<Job extends JobView, Node extends NodeView>(
  job: Job,
  node: Node,
  { filters, scorers }: Rules<Job, Node>,
): NodeReport {
  const failures = judge(filters, job, node);
  const unmet = unmetClauses(job.requires, node);
  return {
    node: node.name,
    verdict: nodeVerdict(failures),
    score: failures.length === 0 ? scoreScale(scorers)(pointsOf(scorers, job, node)) : null,
    failures,
    clauses: job.requires.map((text) => {
      const clause = readClause(text);
      return { clause: text, met: !unmet.includes(text), seen: clause ? seenOf(clause, node) : [] };
    }),
  };
}
