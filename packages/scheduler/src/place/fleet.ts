import { failureKey, groupNodes, type NodeGroup } from "../explain/node-groups.ts";
import { type Filter, passes, pointsOf, type Rules, type Scorer } from "../rules/rule.ts";
import type { JobView, NodeView } from "../views.ts";
import { better, type Candidate, createClassIndex, isBetter } from "./class-index.ts";

/** The nodes of a batch, which fill up as jobs are placed. A job is known by its index in the batch. */
export interface Fleet<Job, Node extends NodeView> {
  /** Sorted by name; `busy` includes the jobs that this batch has placed. */
  readonly nodes: readonly Node[];
  /** Returns the best node for a job: the one with most points, among equals the first by name. */
  choose(index: number, job: Job): Candidate | undefined;
  /** Counts the nodes that fit a job, and returns the `keep` best ones. */
  survey(index: number, job: Job, keep: number): { eligible: number; best: Candidate[] };
  /** Gives a job to a node. */
  take(rank: number): void;
  /** Tells the fleet that no further question about a job follows. */
  leave(index: number): void;
  /** Groups all nodes in their current state by their failures. */
  groups(job: Job): NodeGroup<Node>[];
}

/**
 * Indexes nodes for a batch of jobs.
 *
 * Nodes with the same answers to all keyed rules of the batch form a class, and jobs with the same
 * keys form a group. A group ranks classes, so a choice reads one class and not all nodes. When a
 * node takes a job, only the rules about availability are checked again, and the node moves to the
 * class of its new answers.
 *
 * A rule with `named` is checked for the nodes that it names, and once for all others. A rule with
 * neither `key` nor `named` is checked for every node.
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
  /**
   * Returns a number for the answers of a node. Two nodes with the same number are interchangeable.
   */
  function follow(asked: typeof questions, from: number, node: Node): number {
    let at = from;
    for (const { rule, samples } of asked) {
      for (const job of samples) {
        at = interner.next(
          at,
          "check" in rule ? failureKey(rule.check(job, node)) : pointsOf([rule], job, node),
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

  /** Returns the ranks of the nodes that special rules name: all nodes if a rule has no `named`. */
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

  /**
   * Returns the points that special rules give every node they do not name; `undefined` if they
   * refuse it.
   */
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

    groups(view) {
      const named = namedBy(view);
      return groupNodes(view, nodes, filters, (rank) =>
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

/** Whether a rule is checked once for each key, for any node. */
const isKeyed = <Rule extends { readonly key?: unknown; readonly named?: unknown }>(
  rule: Rule,
): rule is Rule & { readonly key: NonNullable<Rule["key"]> } =>
  rule.key !== undefined && rule.named === undefined;

/** A rule with a `key`. */
interface Keyed<Job> {
  readonly key: (job: Job) => string;
}

/** Groups of jobs that get the same answers from all keyed rules. */
interface JobGroups<Job, Rule> {
  /** The group of each job, by its index. */
  readonly groupOf: Int32Array;
  /** One job of each group, and the size of the group. */
  readonly groups: readonly { readonly job: Job; size: number }[];
  /** Each rule with one job of each of its keys. */
  readonly questions: readonly { readonly rule: Rule; readonly samples: readonly Job[] }[];
}

/** Groups jobs by the keys that rules give them. */
function groupJobs<Job, Rule extends Keyed<Job>>(
  jobs: readonly Job[],
  rules: readonly Rule[],
): JobGroups<Job, Rule> {
  const interner = createInterner();
  const questions = rules.map((rule) => ({ rule, seen: new Set<string>(), samples: [] as Job[] }));
  const groups: { job: Job; size: number }[] = [];
  const groupAt = new Map<number, number>();
  const groupOf = new Int32Array(jobs.length);
  for (const [index, job] of jobs.entries()) {
    let at = 0;
    for (const question of questions) {
      const key = question.rule.key(job);
      at = interner.next(at, key);
      if (question.seen.has(key)) continue;
      question.seen.add(key);
      question.samples.push(job);
    }
    const known = groupAt.get(at);
    const group = known ?? groups.push({ job, size: 0 }) - 1;
    if (known === undefined) groupAt.set(at, group);
    (groups[group] as { size: number }).size += 1;
    groupOf[index] = group;
  }
  return { groupOf, groups, questions };
}

/** Numbers sequences: equal sequences get equal numbers, different ones different numbers. */
interface Interner {
  /** Returns the number of the sequence `from` (0 is the empty one) with one more item. */
  next(from: number, item: number | string): number;
}

function createInterner(): Interner {
  const branches: Map<number | string, number>[] = [new Map()];
  return {
    next(from, item) {
      const branch = branches[from] as Map<number | string, number>;
      const known = branch.get(item);
      if (known !== undefined) return known;
      const id = branches.push(new Map()) - 1;
      branch.set(item, id);
      return id;
    },
  };
}
