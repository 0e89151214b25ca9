import { didYouMean } from "./did-you-mean.ts";
import type { Explanation, NodeGroup, NodeReport } from "./explanation.ts";
import { byNearness, findFix } from "./find-fix.ts";
import type { JobView } from "./job-view.ts";
import { nodeVerdict } from "./node-verdict.ts";
import type { NodeView } from "./node-view.ts";
import { readClause, seenOf, unmetClauses } from "./requirement/evaluate.ts";
import { defaultRules, judge, pointsOf, type Rules, scoreScale } from "./rules.ts";
import { type Judgement, reasonCode, summarize } from "./summarize.ts";

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
  nodes: readonly Node[],
  { rules = defaultRules }: { rules?: Rules<Job, Node> } = {},
): Explanation<Job, Node> {
  const { filters, scorers } = rules;
  const toScore = scoreScale(scorers);
  const sorted = nodes.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const judgements: Judgement[] = sorted.map((node) => {
    const failures = judge(filters, job, node);
    return { name: node.name, verdict: nodeVerdict(failures), failures };
  });
  const clauses = job.requires.map((clause) => ({
    clause,
    met: sorted.reduce((met, node) => met + 1 - unmetClauses([clause], node).length, 0),
  }));
  const missing = clauses.filter(({ met }) => met === 0).map(({ clause }) => clause);
  const code = reasonCode(judgements);
  const nearest = code === "placeable" ? [] : judgements.toSorted(byNearness);
  const [first] = nearest;
  const byName = new Map(sorted.map((node) => [node.name, node]));

  function report({ name, verdict, failures }: Judgement, node: Node): NodeReport {
    return {
      node: name,
      verdict,
      score: verdict === "eligible" ? toScore(pointsOf(scorers, job, node)) : null,
      failures,
      clauses: job.requires.map((clause) => ({
        clause,
        met: unmetClauses([clause], node).length === 0,
        seen: seenOf(readClause(clause), node),
      })),
    };
  }

  return {
    code,
    summary: summarize(job, judgements, missing),
    known: nodes.length,
    eligible: judgements.filter(({ verdict }) => verdict === "eligible").length,
    clauses,
    missing,
    nodes:
      sorted.length > MAX_REPORTED
        ? []
        : sorted.map((node, index) => report(judgements[index] as Judgement, node)),
    groups: groupAlike(judgements),
    nearest:
      first === undefined
        ? null
        : { node: first.name, verdict: first.verdict, failures: first.failures },
    fix:
      code === "placeable"
        ? null
        : findFix(
            job,
            nearest.map(({ name }) => byName.get(name) as Node),
            filters,
          ),
    didYouMean: code === "placeable" ? [] : didYouMean(job, sorted, missing),
  };
}

/** Nodes with the same verdict, for the same codes and clauses. */
function groupAlike(judgements: readonly Judgement[]): NodeGroup[] {
  const groups = new Map<string, NodeGroup & { count: number; nodes: string[] }>();
  for (const { name, verdict, failures } of judgements) {
    const key = failures.map(({ code, clause = "" }) => `${code} ${clause}`).join("\n");
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { verdict, failures, count: 1, nodes: [name] });
    else {
      group.count += 1;
      if (group.nodes.length < MAX_NAMED) group.nodes.push(name);
    }
  }
  return [...groups.values()].sort((a, b) => b.count - a.count);
}
