import { type BatchJob, defaultRules, judge, type NodeView } from "@loom/scheduler";

const weights = defaultRules.scorers.reduce((sum, { weight }) => sum + weight, 0);

const scoreOf = (job: BatchJob, node: NodeView): number =>
  defaultRules.scorers.reduce((sum, { weight, score }) => sum + weight * score(job, node), 0) /
  weights;

/** The straightforward way: by the same rules, every job asks every node. Returns the nodes chosen. */
export function placeAllPairs(
  jobs: readonly BatchJob[],
  known: readonly NodeView[],
): (string | undefined)[] {
  const nodes = known.map((node) => ({ ...node }));
  return jobs.map((job) => {
    let best: { node: { name: string; busy: number }; score: number } | undefined;
    for (const node of nodes) {
      if (judge(defaultRules.filters, job, node).length > 0) continue;
      const score = scoreOf(job, node);
      if (best === undefined || score > best.score + 1e-9) best = { node, score };
    }
    if (best !== undefined) best.node.busy += 1;
    return best?.node.name;
  });
}
