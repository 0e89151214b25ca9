import type { Node } from "@loom/hub/client";

/** How many of a node's slots are taken. */
export function SlotBar({ node: { slots, running, offered } }: { node: Node }) {
  const taken = running + offered;
  return (
    <span className="slot-bar">
      <meter min={0} max={Math.max(slots, 1)} value={taken} aria-label="Slots taken" />
      <span className="number">
        {taken}/{slots}
      </span>
    </span>
  );
}
