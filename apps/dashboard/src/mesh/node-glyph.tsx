import { memo } from "react";
import { Link, to } from "../router.tsx";
import type { Place } from "./layout.ts";
import type { MeshNode } from "./mesh.ts";
import { strandOf } from "./strand.ts";

/** More slots than these are one ring, filled as far as they are taken. */
const MAX_SEGMENTS = 16;
const GAP = 0.14;

/** A machine: its ring of slots, its name, how it is. */
export const NodeGlyph = memo(function NodeGlyph({
  node,
  place,
  ring,
  runs,
}: {
  node: MeshNode;
  place: Place;
  ring: number;
  /** Ids of the runs that take its slots, joined: a value that compares. */
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
      {/* biome-ignore lint/a11y/noAriaHiddenOnFocusable: no text can be focused; the link's label says it */}
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
        className={run === undefined ? "slot" : `slot slot-taken strand-${strandOf(run)}`}
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

/** A stretch of a circle around the origin, clockwise from the top. */
function arc(radius: number, from: number, until: number): string {
  // A whole circle has no end to draw to.
  const end = Math.min(until, from + 2 * Math.PI - 0.001);
  const at = (angle: number) =>
    `${(Math.sin(angle) * radius).toFixed(2)} ${(-Math.cos(angle) * radius).toFixed(2)}`;
  return `M${at(from)}A${radius} ${radius} 0 ${end - from > Math.PI ? 1 : 0} 1 ${at(end)}`;
}

const labelOf = ({ name, online, status, slots, isHub }: MeshNode, running: number): string =>
  `${name}${isHub ? ", the hub" : ""}, ${online ? (status === "active" ? "online" : status) : "offline"}, ${running} of ${slots} slots taken`;

/** What fits under a name. */
function noteOf({ isHub, capabilities }: MeshNode, condition: string, ring: number): string {
  if (condition !== "active") return condition;
  if (ring < 34) return "";
  if (isHub) return "hub";
  const offers = capabilities.filter((capability) => capability.startsWith("has-"));
  return offers.length > 2
    ? `${offers.slice(0, 2).join(" ")} +${offers.length - 2}`
    : offers.join(" ");
}
