import { createHeap, type Heap } from "./heap.ts";

/** A node that fits: its rank in the order of names, and its points. */
export interface Candidate {
  readonly rank: number;
  readonly points: number;
}

/** The candidate with more points is better; among equals, the one with the first name. */
export const isBetter = (a: Candidate, b: Candidate): boolean =>
  a.points > b.points || (a.points === b.points && a.rank < b.rank);

/** Nodes by class, and the classes of each group of jobs by their points. */
export interface ClassIndex<Node> {
  /** Moves a node to a class from the class that it was in. */
  move(rank: number, id: number, node: Node): void;
  /** The group's best node that is not among the skipped ones. */
  top(group: number, skipped: ReadonlySet<number>): Candidate | undefined;
  /** The points that a group gives a node; -1 if the node does not fit. */
  pointsAt(group: number, rank: number): number;
  /** Removes a group after its last job has been placed. */
  close(group: number): void;
}

/** Nodes that fit the same groups of jobs, with the same points. */
interface NodeClass<Node> {
  readonly id: number;
  /** Ranks, lowest first. The rank of a node that has left is removed when it becomes the first. */
  readonly members: Heap<number>;
  /** Any of the nodes. */
  readonly sample: Node;
}

interface Group<Node> {
  /** By class. */
  readonly points: Map<number, number>;
  /**
   * A class is listed under its lowest rank. An entry under another rank is removed when it becomes
   * the first.
   */
  readonly order: Heap<Entry<Node>>;
  readonly listed: Map<number, number>;
}

interface Entry<Node> extends Candidate {
  readonly nodes: NodeClass<Node>;
}

/**
 * Creates an index without nodes.
 *
 * A choice costs the logarithm of the number of classes. A class enters the order of every open
 * group when its lowest rank falls. This happens once while nodes fill evenly in the order of their
 * names.
 *
 * @param pointsOf - The points that a group gives a node, -1 if it does not fit; equal for all
 * nodes of a class.
 */
export function createClassIndex<Node>(
  pointsOf: (group: number, node: Node) => number,
): ClassIndex<Node> {
  const classes = new Map<number, NodeClass<Node>>();
  const classOf: number[] = [];
  const groups = new Map<number, Group<Node>>();

  /** Returns the lowest rank in a class. */
  function first({ members, id }: NodeClass<Node>): number | undefined {
    let rank = members.peek();
    while (rank !== undefined && classOf[rank] !== id) {
      members.pop();
      rank = members.peek();
    }
    return rank;
  }

  function firstOutside(nodes: NodeClass<Node>, skipped: ReadonlySet<number>): number | undefined {
    const aside: number[] = [];
    let rank = first(nodes);
    while (rank !== undefined && skipped.has(rank)) {
      aside.push(rank);
      nodes.members.pop();
      rank = first(nodes);
    }
    for (const each of aside) nodes.members.push(each);
    return rank;
  }

  function list(id: number, group: Group<Node>, nodes: NodeClass<Node>): void {
    let points = group.points.get(nodes.id);
    if (points === undefined) {
      points = pointsOf(id, nodes.sample);
      group.points.set(nodes.id, points);
    }
    if (points < 0) return;
    const rank = first(nodes);
    if (rank === undefined || group.listed.get(nodes.id) === rank) return;
    group.listed.set(nodes.id, rank);
    group.order.push({ points, rank, nodes });
  }

  function open(id: number): Group<Node> {
    const known = groups.get(id);
    if (known !== undefined) return known;
    const group: Group<Node> = {
      points: new Map(),
      order: createHeap<Entry<Node>>(isBetter),
      listed: new Map(),
    };
    groups.set(id, group);
    for (const nodes of classes.values()) list(id, group, nodes);
    return group;
  }

  return {
    move(rank, id, node) {
      let nodes = classes.get(id);
      if (nodes === undefined) {
        nodes = { id, members: createHeap<number>((a, b) => a < b), sample: node };
        classes.set(id, nodes);
      }
      classOf[rank] = id;
      nodes.members.push(rank);
      if (first(nodes) !== rank) return;
      for (const [groupId, group] of groups) list(groupId, group, nodes);
    },

    top(groupId, skipped) {
      const group = open(groupId);
      const { order, listed } = group;
      const aside: Entry<Node>[] = [];
      let best: Candidate | undefined;
      for (let entry = order.peek(); entry !== undefined; entry = order.peek()) {
        const { nodes, points, rank } = entry;
        if (listed.get(nodes.id) !== rank) order.pop();
        else if (first(nodes) !== rank) {
          order.pop();
          listed.delete(nodes.id);
          list(groupId, group, nodes);
        } else if (skipped.has(rank)) {
          order.pop();
          aside.push(entry);
          const other = firstOutside(nodes, skipped);
          if (other !== undefined) best = better(best, { points, rank: other });
        } else {
          best = better(best, { points, rank });
          break;
        }
      }
      for (const entry of aside) order.push(entry);
      return best;
    },

    pointsAt: (group, rank) => open(group).points.get(classOf[rank] as number) ?? -1,

    close: (group) => void groups.delete(group),
  };
}

/** Returns the better of two candidates, of which the first may be missing. */
export const better = (a: Candidate | undefined, b: Candidate): Candidate =>
  a === undefined || isBetter(b, a) ? b : a;
