import { diagnose } from "../explain/diagnose.ts";
import type { Explanation } from "../explain/explain.ts";
import type { NodeGroup } from "../explain/node-groups.ts";
import { defaultRules } from "../rules/default-rules.ts";
import { type Rules, scoreScale } from "../rules/rule.ts";
import type { JobView, NodeView } from "../views.ts";
import type { Candidate } from "./class-index.ts";
import { inFairOrder } from "./fair-order.ts";
import { createFleet } from "./fleet.ts";

/** The result of a batch for one of its jobs. */
export type Placement<Id extends string | number = string | number> = Placed<Id> | Unplaced<Id>;

/** A job has a node. */
export interface Placed<Id extends string | number = string | number> {
  readonly placed: true;
  readonly job: Id;
  readonly node: string;
  /** From 0 to 1. */
  readonly score: number;
  /** Why this node, if the option `keep` is above 0. A plain value that can be stored. */
  readonly record?: PlacementRecord;
}

/** A job has no node. */
export interface Unplaced<Id extends string | number = string | number> {
  readonly placed: false;
  readonly job: Id;
  /** The reason with the nodes at the end of the batch. */
  readonly refusal: Refusal;
  /** The nodes that would take it if they had a free slot, if that is all that it waits for; sorted by name. */
  readonly whenFree: readonly string[];
  /** Its turn among the unplaced jobs: priority and fairness as for placed ones, the first is 0. */
  readonly turn: number;
}

/** Why no node takes a job now: a plain value that can be stored. */
export type Refusal = Pick<Explanation, "code" | "summary" | "missing"> & {
  /** What a person can do about it; `null` if no fix is known. */
  readonly fix: string | null;
};

/** How a node was chosen. The size of the record does not depend on the number of nodes. */
export interface PlacementRecord {
  /** The score that each scorer gave the chosen node, from 0 to 1, by name. */
  readonly scores: Readonly<Record<string, number>>;
  /** The number of nodes that fit, and the best of them, the chosen one first. */
  readonly eligible: number;
  readonly best: readonly { readonly node: string; readonly score: number }[];
  /** The score, the name among nodes with equal scores, or `only` if no other node fits. */
  readonly decidedBy: "score" | "name" | "only";
}

export interface PlaceOptions<Job extends JobView, Node extends NodeView> {
  /** Default: {@link defaultRules}. */
  readonly rules?: Rules<Job, Node>;
  /** How many of the best nodes each placement records. Default 0: no record. */
  readonly keep?: number;
}

/**
 * Chooses nodes for jobs: each takes a slot of its node, and counts against its concurrency key.
 *
 * Jobs go by priority, and runs take turns. Each job gets the node with the best score among the
 * nodes that pass all filters; among equals, the name decides. The order of `jobs` and `nodes` does
 * not matter.
 *
 * The cost grows with the number of different needs times nodes, plus jobs; it does not grow with
 * jobs times nodes.
 *
 * @param jobs - Ids are unique. A lower id is older.
 * @returns The results in the order of `jobs`.
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

  const refusals = new Map<string, Pick<Unplaced<Id>, "refusal" | "whenFree">>();
  let turn = 0;
  inFairOrder(
    unplaced.map((index) => jobs[index] as (typeof jobs)[number]),
    (at) => {
      const index = unplaced[at] as number;
      const job = jobs[index] as (typeof jobs)[number];
      const view = limits.apply(job);
      const need = needOf(view, rules) ?? `job ${index}`;
      let refused = refusals.get(need);
      if (refused === undefined) {
        const groups = fleet.groups(view);
        const { code, summary, missing, fix } = diagnose(view, fleet.nodes, groups, rules.filters);
        const whenFree = code === "no_capable_node_free" ? fullNodes(groups) : [];
        refused = { refusal: { code, summary, missing, fix: fix?.action ?? null }, whenFree };
        refusals.set(need, refused);
      }
      placements[index] = { placed: false, job: job.id, ...refused, turn };
      turn += 1;
      return true;
    },
  );
  return placements;
}

const fullNodes = (groups: readonly NodeGroup<NodeView>[]): string[] =>
  groups
    .filter(({ eligibility }) => eligibility === "full")
    .flatMap(({ nodes }) => nodes.map(({ name }) => name))
    .sort();

/** Returns a key of everything that a refusal depends on; `undefined` if a filter has no `key`. */
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
