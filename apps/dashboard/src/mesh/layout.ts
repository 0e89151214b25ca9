/** A place on the map, in pixels. */
export interface Place {
  readonly x: number;
  readonly y: number;
}

/** Where everything is: the knot of waiting work, and every node around it. */
export interface Layout {
  readonly width: number;
  readonly height: number;
  readonly knot: Place;
  readonly nodes: ReadonlyMap<string, Place>;
  /** Radius of a node's ring of slots. */
  readonly ring: number;
}

/** Nodes of one ellipse around the knot, at most. */
const PER_ELLIPSE = 14;
/** On a map that is narrower, nodes are small and stand above each other. */
const NARROW = 560;
/** Room beside the outermost nodes, for their names. */
const MARGIN_X = 92;
const MARGIN_TOP = 64;
const MARGIN_BOTTOM = 84;

/**
 * Places nodes by their names alone: the same nodes on a map of the same size are always at the same
 * places, and nothing drifts.
 */
export function layOut(names: readonly string[], width: number, height: number): Layout {
  const sorted = [...names].sort();
  const ellipses = Math.max(1, Math.ceil(sorted.length / PER_ELLIPSE));
  const knot = { x: width / 2, y: (height - MARGIN_BOTTOM + MARGIN_TOP) / 2 };
  const radius = { x: width / 2 - MARGIN_X, y: (height - MARGIN_TOP - MARGIN_BOTTOM) / 2 };
  const nodes = new Map<string, Place>();
  for (let ellipse = 0; ellipse < ellipses; ellipse += 1) {
    const names = sorted.filter((_, index) => index % ellipses === ellipse);
    // Inner ellipses are smaller, and turned by half a step, so that names have room.
    const size = ellipses === 1 ? 1 : 1 - (ellipse * 0.52) / (ellipses - 1);
    const turn = startAngle(names.length, width) + (ellipse * Math.PI) / Math.max(names.length, 1);
    for (const [index, name] of names.entries()) {
      const angle = turn + (2 * Math.PI * index) / names.length;
      nodes.set(name, {
        x: Math.round(knot.x + Math.cos(angle) * radius.x * size * spread(names.length)),
        y: Math.round(knot.y + Math.sin(angle) * radius.y * size),
      });
    }
  }
  return { width, height, knot, nodes, ring: ringRadius(sorted.length, width) };
}

/** One or two nodes lie beside the knot where there is room; else, and of more, the first is above it. */
const startAngle = (count: number, width: number): number =>
  count <= 2 && width >= NARROW ? Math.PI : -Math.PI / 2;

/** Few nodes stay close to each other on a wide map. */
const spread = (count: number): number => (count <= 2 ? 0.62 : count <= 4 ? 0.8 : 1);

function ringRadius(count: number, width: number): number {
  if (width < NARROW || count > 28) return 20;
  return count > 12 ? 26 : 34;
}
