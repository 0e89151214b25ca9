import { memo } from "react";
import { Link, to } from "../router.tsx";
import type { Place } from "./draw/layout.ts";
import { threadStyleOf } from "./draw/thread-style.ts";
import type { MapNode } from "./state/map-state.ts";

/** A node with more slots shows one ring, filled by the share of slots taken. */
const MAX_SEGMENTS = 16;
const GAP = 0.14;

/** A machine: its ring of slots, its name and its condition. */
export const NodeGlyph = memo(function NodeGlyph({
  node,
  place,
  ring,
  runs,
}: {
  node: MapNode;
  place: Place;
  ring: number;
  /** Ids of the runs in its slots, joined by spaces: `memo` compares a string by value. */
  runs: string;
}) {
  const running = runs === "" ? [] : runs.split(" ");
  const label = labelOf(node, running.length);
  const condition = node.online ? node.status : "offline";
  return (
    <g className={`node node-${condition}`} transform={`translate(${place.x} ${place.y})`}>
      <Link href={to("nodes", node.name)} aria-label={label}>
        <circle className="node-body" r={ring - 9} />
        {node.slots > MAX_SEGMENTS ? (
          <Ring ring={ring} share={running.length / node.slots} />
        ) : (
          <Segments ring={ring} slots={node.slots} running={running} />
        )}
        <circle className="node-focus" r={ring + 9} />
      </Link>
      {/* biome-ignore lint/a11y/noAriaHiddenOnFocusable: the text cannot be focused, and the link's label says the same */}
      <g className="node-text" aria-hidden="true">
        <text className="node-count" y={ring < 24 ? 4 : 5}>
          {running.length}/{node.slots}
        </text>
        <text className="node-name" y={ring + 20}>
          {node.name}
        </text>
        <text className="node-note" y={ring + 35}>
          {noteOf(node, condition, ring)}
        </text>
      </g>
    </g>
  );
});

function Segments({ ring, slots, running }: { ring: number; slots: number; running: string[] }) {
  const gap = slots === 1 ? 0 : GAP;
  const size = (2 * Math.PI) / Math.max(slots, 1);
  return Array.from({ length: slots }, (_, slot) => {
    const run = running[slot];
    return (
      <path
        // biome-ignore lint/suspicious/noArrayIndexKey: a slot is its number
        key={slot}
        className={run === undefined ? "slot" : `slot slot-taken thread-${threadStyleOf(run)}`}
        d={arc(ring, slot * size + gap / 2, (slot + 1) * size - gap / 2)}
      />
    );
  });
}

function Ring({ ring, share }: { ring: number; share: number }) {
  return (
    <>
      <path className="slot" d={arc(ring, 0, 2 * Math.PI)} />
      {share > 0 && (
        <path className="slot slot-taken" d={arc(ring, 0, 2 * Math.PI * Math.min(share, 1))} />
      )}
    </>
  );
}

/** An arc around the origin, clockwise from the top; angles in radians. */
function arc(radius: number, from: number, until: number): string {
  // An SVG arc cannot draw a whole circle.
  const end = Math.min(until, from + 2 * Math.PI - 0.001);
  const at = (angle: number) =>
    `${(Math.sin(angle) * radius).toFixed(2)} ${(-Math.cos(angle) * radius).toFixed(2)}`;
  return `M${at(from)}A${radius} ${radius} 0 ${end - from > Math.PI ? 1 : 0} 1 ${at(end)}`;
}

const labelOf = ({ name, online, status, slots, isHub }: MapNode, running: number): string =>
  `${name}${isHub ? ", the hub" : ""}, ${online ? (status === "active" ? "online" : status) : "offline"}, ${running} of ${slots} slots taken`;

/** The text under the name, as long as it fits. */
function noteOf({ isHub, capabilities }: MapNode, condition: string, ring: number): string {
  if (condition !== "active") return condition;
  if (ring < 34) return "";
  if (isHub) return "hub";
  const offers = capabilities.filter((capability) => capability.startsWith("has-"));
  return offers.length > 2
    ? `${offers.slice(0, 2).join(" ")} +${offers.length - 2}`
    : offers.join(" ");
}
