import type { Layout, Place } from "./layout.ts";
import { hash } from "./strand.ts";

/** A stretch of a thread: a quadratic curve. */
export interface Curve {
  readonly from: Place;
  readonly bend: Place;
  readonly to: Place;
}

/** From -1 to 1: to which side a run's thread bends, so that threads lie beside each other. */
const leanOf = (runId: string): number => ((hash(`${runId}~`) % 1000) / 1000) * 2 - 1;

/** Where on the map a node is; the knot for none, and for one that has left. */
export const placeOf = (layout: Layout, node: string | null): Place =>
  (node === null ? undefined : layout.nodes.get(node)) ?? layout.knot;

/** The curve between two places, bent to the run's own side; it ends at the rings, not inside them. */
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

/** The thread of a run: from the knot through the nodes that it used. */
export const threadOf = (layout: Layout, runId: string, path: readonly string[]): Curve[] =>
  path.map((node, index) => curveBetween(layout, path[index - 1] ?? null, node, runId));

/** The point of a curve at a share of its way. */
export function pointAt({ from, bend, to }: Curve, share: number): Place {
  const rest = 1 - share;
  return {
    x: rest * rest * from.x + 2 * rest * share * bend.x + share * share * to.x,
    y: rest * rest * from.y + 2 * rest * share * bend.y + share * share * to.y,
  };
}
