import { applyFilters, type BatchJob, defaultRules, type NodeView } from "@loom/scheduler";

const weights = defaultRules.scorers.reduce((sum, { weight }) => sum + weight, 0);

const scoreOf = (job: BatchJob, node: NodeView): number =>
  defaultRules.scorers.reduce((sum, { weight, score }) => sum + weight * score(job, node), 0) /
  weights;

/** Places in the simple way: every job asks every node, by the same rules. Returns the chosen nodes. */
export function placeAllPairs(
  jobs: readonly BatchJob[],
  known: readonly NodeView[],
): (string | undefined)[] {
  const nodes = known.map((node) => ({ ...node }));
  return jobs.map((job) => {
    let best: { node: { name: string; busy: number }; score: number } | undefined;
    for (const node of nodes) {
      if (applyFilters(defaultRules.filters, job, node).length > 0) continue;
      const score = scoreOf(job, node);
      if (best === undefined || score > best.score + 1e-9) best = { node, score };
    }
    if (best !== undefined) best.node.busy += 1;
    return best?.node.name;
  });
}
