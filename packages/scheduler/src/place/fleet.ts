import { type AlikeNodes, groupAlike, likeness } from "../alike-nodes.ts";
import type { JobView } from "../job-view.ts";
import type { NodeView } from "../node-view.ts";
import type { Filter, Scorer } from "../rule.ts";
import { passes, pointsOf, type Rules } from "../rules.ts";
import { better, type Candidate, createClassIndex, isBetter } from "./class-index.ts";
import { createInterner } from "./interner.ts";
import { groupJobs } from "./job-groups.ts";

/** The nodes of a batch, as they fill up. Jobs are known by their index in the batch. */
export interface Fleet<Job, Node extends NodeView> {
  /** By name, each as busy as the jobs of this batch have made it. */
  readonly nodes: readonly Node[];
  /** The best node for a job: most points, then the first name. */
  choose(index: number, job: Job): Candidate | undefined;
  /** How many nodes fit a job, and the `keep` best of them. */
  survey(index: number, job: Job, keep: number): { eligible: number; best: Candidate[] };
  /** Gives a job to a node. */
  take(rank: number): void;
  /** The job has been looked at for the last time. */
  leave(index: number): void;
  /** All nodes as they are now, put together where the same speaks against them. */
  judge(job: Job): AlikeNodes<Node>[];
}

/**
 * Indexes nodes for a batch of jobs.
 *
 * Nodes that answer all keyed questions of the batch alike are one class, and jobs that ask the same ones
 * are one group. A group ranks classes, so a choice looks at one class and not at all nodes. When a node
 * takes a job, only what is about availability is asked again, and it moves to the class of its new answers.
 *
 * Rules that name nodes (`named`) are asked for those nodes, and once for all others; rules that say
 * nothing, for every node.
 */
export function createFleet<Job extends JobView, Node extends NodeView>(
  jobs: readonly Job[],
  given: readonly Node[],
  { filters, scorers }: Rules<Job, Node>,
): Fleet<Job, Node> {
  const nodes = given.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const ranks = new Map(nodes.map(({ name }, rank) => [name, rank]));
  const keyed = {
    filters: filters.filter((each) => isKeyed(each)),
    scorers: scorers.filter((each) => isKeyed(each)),
  };
  const special = {
    filters: filters.filter((filter) => !isKeyed(filter)),
    scorers: scorers.filter((scorer) => !isKeyed(scorer)),
  };
  const specialRules = [...special.filters, ...special.scorers];
  const { groupOf, groups, questions } = groupJobs<Job, KeyedRule<Job, Node>>(jobs, [
    ...keyed.filters,
    ...keyed.scorers,
  ]);

  const index = createClassIndex<Node>((group, node) => {
    const { job } = groups[group] as { job: Job };
    return passes(keyed.filters, job, node) ? pointsOf(keyed.scorers, job, node) : -1;
  });
  const interner = createInterner();
  /** Goes from answer to answer. Where two nodes arrive at the same place, nothing tells them apart. */
  function follow(asked: typeof questions, from: number, node: Node): number {
    let at = from;
    for (const { rule, samples } of asked) {
      for (const job of samples) {
        at = interner.next(
          at,
          "check" in rule ? likeness(rule.check(job, node)) : pointsOf([rule], job, node),
        );
      }
    }
    return at;
  }
  const lasting = questions.filter(({ rule }) => rule.about === "ability");
  const changing = questions.filter(({ rule }) => rule.about === "availability");
  const abilities = nodes.map((node) => follow(lasting, 0, node));
  const classes = nodes.map((node, rank) => follow(changing, abilities[rank] as number, node));
  for (const [rank, id] of classes.entries()) index.move(rank, id, nodes[rank] as Node);

  /** Ranks of the nodes that special rules name: all, where one does not say. */
  function namedBy(job: Job): ReadonlySet<number> {
    let named = NONE;
    for (const rule of specialRules) {
      if (rule.named === undefined) return new Set(nodes.keys());
      for (const name of rule.named(job)) {
        const rank = ranks.get(name);
        if (rank !== undefined) named = named === NONE ? new Set([rank]) : named.add(rank);
      }
    }
    return named;
  }

  function amongNamed(job: Job, named: ReadonlySet<number>): Candidate[] {
    const fitting: Candidate[] = [];
    for (const rank of named) {
      const node = nodes[rank] as Node;
      if (!passes(filters, job, node)) continue;
      fitting.push({ rank, points: pointsOf(scorers, job, node) });
    }
    return fitting;
  }

  /** What special rules give to every node that they do not name; `undefined` for a no. */
  function elsewhere(job: Job, named: ReadonlySet<number>): number | undefined {
    let rank = 0;
    while (named.has(rank)) rank += 1;
    const other = nodes[rank];
    if (other === undefined || !passes(special.filters, job, other)) return undefined;
    return pointsOf(special.scorers, job, other);
  }

  return {
    nodes,

    choose(job, view) {
      const named = namedBy(view);
      let best: Candidate | undefined;
      for (const candidate of amongNamed(view, named)) best = better(best, candidate);
      const extra = elsewhere(view, named);
      if (extra === undefined) return best;
      const other = index.top(groupOf[job] as number, named);
      if (other === undefined) return best;
      return better(best, { rank: other.rank, points: other.points + extra });
    },

    survey(job, view, keep) {
      const named = namedBy(view);
      const best: Candidate[] = [];
      let eligible = 0;
      const add = (candidate: Candidate) => {
        eligible += 1;
        if (best.length === keep && !isBetter(candidate, best[keep - 1] as Candidate)) return;
        best.splice(best.findLastIndex((other) => isBetter(other, candidate)) + 1, 0, candidate);
        if (best.length > keep) best.pop();
      };
      for (const candidate of amongNamed(view, named)) add(candidate);
      const extra = elsewhere(view, named);
      for (let rank = 0; extra !== undefined && rank < nodes.length; rank++) {
        const points = named.has(rank) ? -1 : index.pointsAt(groupOf[job] as number, rank);
        if (points >= 0) add({ rank, points: points + extra });
      }
      return { eligible, best };
    },

    take(rank) {
      const node = nodes[rank] as Node;
      const busier = { ...node, busy: node.busy + 1 };
      nodes[rank] = busier;
      const id = follow(changing, abilities[rank] as number, busier);
      if (id === classes[rank]) return;
      classes[rank] = id;
      index.move(rank, id, busier);
    },

    judge(view) {
      const named = namedBy(view);
      return groupAlike(view, nodes, filters, (rank) =>
        named.has(rank) ? undefined : classes[rank],
      );
    },

    leave(job) {
      const group = groups[groupOf[job] as number];
      if (group === undefined) return;
      group.size -= 1;
      if (group.size === 0) index.close(groupOf[job] as number);
    },
  };
}

const NONE = new Set<number>();

type KeyedRule<Job extends JobView, Node extends NodeView> = (
  | Filter<Job, Node>
  | Scorer<Job, Node>
) & { readonly key: (job: Job) => string };

/** Whether a rule is asked once a key, and not for nodes that it names. */
const isKeyed = <Rule extends { readonly key?: unknown; readonly named?: unknown }>(
  rule: Rule,
): rule is Rule & { readonly key: NonNullable<Rule["key"]> } =>
  rule.key !== undefined && rule.named === undefined;
