import { hash } from "./thread-style.ts";

/** A place on the map, in pixels. */
export interface Place {
  readonly x: number;
  readonly y: number;
}

/** The positions: the area of waiting steps in the middle, and the nodes around it. */
export interface Layout {
  readonly width: number;
  readonly height: number;
  /** The area of steps that wait for a node. */
  readonly waiting: Place;
  readonly nodes: ReadonlyMap<string, Place>;
  /** Radius of a node's ring of slots. */
  readonly ring: number;
}

/** Maximum number of nodes on one ellipse around the waiting area. */
const PER_ELLIPSE = 14;
/** On a narrower map nodes are small and are stacked. */
const NARROW = 560;
/** Room around the outermost nodes, for their names. */
const MARGIN_X = 92;
const MARGIN_TOP = 64;
const MARGIN_BOTTOM = 84;

/**
 * Places nodes by their names alone: the same nodes on a map of the same size always get the same
 * places.
 */
export function layOut(names: readonly string[], width: number, height: number): Layout {
  const sorted = [...names].sort();
  const ellipses = Math.max(1, Math.ceil(sorted.length / PER_ELLIPSE));
  const waiting = { x: width / 2, y: (height - MARGIN_BOTTOM + MARGIN_TOP) / 2 };
  const radius = { x: width / 2 - MARGIN_X, y: (height - MARGIN_TOP - MARGIN_BOTTOM) / 2 };
  const nodes = new Map<string, Place>();
  for (let ellipse = 0; ellipse < ellipses; ellipse += 1) {
    const names = sorted.filter((_, index) => index % ellipses === ellipse);
    // Inner ellipses are smaller and turned by half a step, so that names have room.
    const size = ellipses === 1 ? 1 : 1 - (ellipse * 0.52) / (ellipses - 1);
    const turn = startAngle(names.length, width) + (ellipse * Math.PI) / Math.max(names.length, 1);
    for (const [index, name] of names.entries()) {
      const angle = turn + (2 * Math.PI * index) / names.length;
      nodes.set(name, {
        x: Math.round(waiting.x + Math.cos(angle) * radius.x * size * spread(names.length)),
        y: Math.round(waiting.y + Math.sin(angle) * radius.y * size),
      });
    }
  }
  return { width, height, waiting, nodes, ring: ringRadius(sorted.length, width) };
}

/** On a wide map one or two nodes lie beside the waiting area; otherwise the first node is above it. */
const startAngle = (count: number, width: number): number =>
  count <= 2 && width >= NARROW ? Math.PI : -Math.PI / 2;

/** A few nodes stay close to each other on a wide map. */
const spread = (count: number): number => (count <= 2 ? 0.62 : count <= 4 ? 0.8 : 1);

function ringRadius(count: number, width: number): number {
  if (width < NARROW || count > 28) return 20;
  return count > 12 ? 26 : 34;
}

/** A segment of a thread: a quadratic curve. */
export interface Curve {
  readonly from: Place;
  readonly bend: Place;
  readonly to: Place;
}

/** The side to which a run's thread bends, from -1 to 1: threads then lie beside each other. */
const leanOf = (runId: string): number => ((hash(`${runId}~`) % 1000) / 1000) * 2 - 1;

/** The place of a node; the waiting area for null and for a node that has left. */
export const placeOf = (layout: Layout, node: string | null): Place =>
  (node === null ? undefined : layout.nodes.get(node)) ?? layout.waiting;

/** The curve between two nodes, bent to the run's own side. It ends at the rings, not inside them. */
export function curveBetween(
  layout: Layout,
  from: string | null,
  to: string | null,
  runId: string,
): Curve {
  const start = placeOf(layout, from);
  const end = placeOf(layout, to);
  const dx = end.x - start.x;
  const dy = end.y - start.y;
  const length = Math.hypot(dx, dy) || 1;
  const lean = leanOf(runId) * Math.min(64, length * 0.24);
  const bend = {
    x: (start.x + end.x) / 2 - (dy / length) * lean,
    y: (start.y + end.y) / 2 + (dx / length) * lean,
  };
  const radiusOf = (node: string | null) => (node === null ? 16 : layout.ring + 6);
  return {
    from: towards(start, bend, radiusOf(from)),
    bend,
    to: towards(end, bend, radiusOf(to)),
  };
}

function towards(place: Place, other: Place, by: number): Place {
  const dx = other.x - place.x;
  const dy = other.y - place.y;
  const share = Math.min(1, by / (Math.hypot(dx, dy) || 1));
  return { x: place.x + dx * share, y: place.y + dy * share };
}

/** The thread of a run: from the waiting area through the nodes that it used. */
export const threadOf = (layout: Layout, runId: string, path: readonly string[]): Curve[] =>
  path.map((node, index) => curveBetween(layout, path[index - 1] ?? null, node, runId));

/** The point of a curve at a share of its length, from 0 to 1. */
export function pointAt({ from, bend, to }: Curve, share: number): Place {
  const rest = 1 - share;
  return {
    x: rest * rest * from.x + 2 * rest * share * bend.x + share * share * to.x,
    y: rest * rest * from.y + 2 * rest * share * bend.y + share * share * to.y,
  };
}
