import { createHeap, type Heap } from "./heap.ts";

/** A node that fits: its place in the order of names, and its points. */
export interface Candidate {
  readonly rank: number;
  readonly points: number;
}

/** More points come first, then the first name. */
export const isBetter = (a: Candidate, b: Candidate): boolean =>
  a.points > b.points || (a.points === b.points && a.rank < b.rank);

/** Nodes by class, and for each group of jobs the classes by what they are worth to it. */
export interface ClassIndex<Node> {
  /** Puts a node into a class, and takes it out of the one it was in. */
  move(rank: number, id: number, node: Node): void;
  /** The group's best node that is not among the skipped ones. */
  top(group: number, skipped: ReadonlySet<number>): Candidate | undefined;
  /** The points that a group gives a node; -1 where it does not fit. */
  pointsAt(group: number, rank: number): number;
  /** Forgets a group: its last job has been placed. */
  close(group: number): void;
}

/** Nodes that no question tells apart: they fit the same groups, and have the same points there. */
interface NodeClass<Node> {
  readonly id: number;
  /** Ranks, lowest first. One whose node has left goes when it comes up. */
  readonly members: Heap<number>;
  /** Any of the nodes. */
  readonly sample: Node;
}

interface Group<Node> {
  /** By class. */
  readonly points: Map<number, number>;
  /** A class is listed under its lowest rank; an entry under another one goes when it comes up. */
  readonly order: Heap<Entry<Node>>;
  readonly listed: Map<number, number>;
}

interface Entry<Node> extends Candidate {
  readonly nodes: NodeClass<Node>;
}

/**
 * Creates an index without nodes.
 *
 * Choosing costs the logarithm of the number of classes. A class enters the order of every open group
 * when it gets a lower first rank; while nodes fill evenly, in the order of their names, that is once.
 *
 * @param weigh - The points that a group gives a node, -1 where it does not fit; equal for all nodes of a class.
 */
export function createClassIndex<Node>(
  weigh: (group: number, node: Node) => number,
): ClassIndex<Node> {
  const classes = new Map<number, NodeClass<Node>>();
  const classOf: number[] = [];
  const groups = new Map<number, Group<Node>>();

  /** The lowest rank in a class. */
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
      points = weigh(id, nodes.sample);
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

/** The better of two candidates, the first of which may be missing. */
export const better = (a: Candidate | undefined, b: Candidate): Candidate =>
  a === undefined || isBetter(b, a) ? b : a;
