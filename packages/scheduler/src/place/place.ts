import { diagnose } from "../diagnose.ts";
import type { JobView } from "../job-view.ts";
import type { NodeView } from "../node-view.ts";
import type { Placement, PlacementRecord, Refusal } from "../placement.ts";
import { defaultRules, type Rules, scoreScale } from "../rules.ts";
import type { Candidate } from "./class-index.ts";
import { createFleet } from "./fleet.ts";
import { inFairOrder } from "./in-fair-order.ts";

export interface PlaceOptions<Job extends JobView, Node extends NodeView> {
  /** Default: {@link defaultRules}. */
  readonly rules?: Rules<Job, Node>;
  /** How many of the nodes that fit each placement records, beside their number. Default 0: no record. */
  readonly keep?: number;
}

/**
 * Chooses nodes for jobs: each takes a slot of its node, and counts against its concurrency key.
 *
 * Jobs are taken by priority, and runs in turn. Each gets the node with the best score among those that
 * all filters accept; of equal scores, the name that sorts first. The order of jobs and nodes changes
 * nothing.
 *
 * The cost follows the number of different needs times nodes, and the number of jobs; not their product.
 *
 * @param jobs - Ids are unique, and rise with age.
 * @returns In the order of `jobs`.
 */
export function place<
  Id extends string | number,
  Job extends JobView = JobView,
  Node extends NodeView = NodeView,
>(
  jobs: readonly (Job & { readonly id: Id })[],
  nodes: readonly Node[],
  { rules = defaultRules, keep = 0 }: PlaceOptions<Job, Node> = {},
): Placement<Id>[] {
  const fleet = createFleet<Job, Node>(jobs, nodes, rules);
  const limits = createLimits<Job>();
  const toScore = scoreScale(rules.scorers);
  const placements: Placement<Id>[] = new Array(jobs.length);
  const unplaced: number[] = [];

  inFairOrder(jobs, (index) => {
    const job = jobs[index] as (typeof jobs)[number];
    const view = limits.apply(job);
    const chosen = fleet.choose(index, view);
    if (chosen === undefined) unplaced.push(index);
    else {
      placements[index] = {
        placed: true,
        job: job.id,
        node: (fleet.nodes[chosen.rank] as Node).name,
        score: toScore(chosen.points),
        ...(keep > 0 && { record: recordOf(index, view, chosen) }),
      };
      fleet.take(chosen.rank);
      limits.count(job);
    }
    fleet.leave(index);
    return chosen !== undefined;
  });

  function recordOf(index: number, job: Job, chosen: Candidate): PlacementRecord {
    const { eligible, best } = fleet.survey(index, job, Math.max(keep, 2));
    const node = fleet.nodes[chosen.rank] as Node;
    const [, second] = best;
    return {
      scores: Object.fromEntries(rules.scorers.map(({ name, score }) => [name, score(job, node)])),
      eligible,
      best: best.slice(0, keep).map(({ rank, points }) => ({
        node: (fleet.nodes[rank] as Node).name,
        score: toScore(points),
      })),
      decidedBy: second === undefined ? "only" : second.points === chosen.points ? "name" : "score",
    };
  }

  const refusals = new Map<string, Refusal>();
  for (const index of unplaced) {
    const job = jobs[index] as (typeof jobs)[number];
    const view = limits.apply(job);
    const need = needOf(view, rules) ?? `job ${index}`;
    let refusal = refusals.get(need);
    if (refusal === undefined) {
      const groups = fleet.judge(view);
      const { code, summary, missing, fix } = diagnose(view, fleet.nodes, groups, rules.filters);
      refusal = { code, summary, missing, fix: fix?.action ?? null };
      refusals.set(need, refusal);
    }
    placements[index] = { placed: false, job: job.id, refusal };
  }
  return placements;
}

/** What a refusal depends on; `undefined` where a filter does not say what it reads. */
function needOf<Job extends JobView, Node extends NodeView>(
  job: Job,
  { filters }: Rules<Job, Node>,
): string | undefined {
  let need = "";
  for (const { key } of filters) {
    if (key === undefined) return undefined;
    need += `${key(job)}\0`;
  }
  return need;
}

/** Counts the jobs of each concurrency key that the batch has placed. */
function createLimits<Job extends JobView>() {
  const placed = new Map<string, number>();
  return {
    apply(job: Job): Job {
      const { concurrency } = job;
      const more = concurrency && placed.get(concurrency.key);
      if (!concurrency || !more) return job;
      return {
        ...job,
        concurrency: { ...concurrency, running: (concurrency.running ?? 0) + more },
      };
    },
    count({ concurrency }: Job): void {
      if (concurrency) placed.set(concurrency.key, (placed.get(concurrency.key) ?? 0) + 1);
    },
  };
}
